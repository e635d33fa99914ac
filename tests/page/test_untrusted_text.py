"""What a model or a user writes is text: none of it runs, is fetched, or becomes an element that it should not be."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.service import Service, until
from tests.fakes.gemini_server import FakeGemini, Outcome
from tests.page.visitor import Visitor

pytestmark = pytest.mark.real

Visit = Callable[..., Visitor]

RUN = "window.ran=1"
ELSEWHERE = "http://127.0.0.1:9/x"

PAYLOADS = [
    f"<script>{RUN}</script>",
    f"<SCRIPT SRC={ELSEWHERE}.js></SCRIPT>",
    f"<img src=x onerror={RUN}>",
    f"<img src=x onerror={RUN}//",
    f'<img src="{ELSEWHERE}.png">',
    f"![pixel]({ELSEWHERE}.png)",
    f"![a](javascript:{RUN})",
    f'![a](x" onerror="{RUN})',
    f"![a][b]\n\n[b]: {ELSEWHERE}.png 'title'",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f'<svg><use href="data:image/svg+xml,<svg onload={RUN}>"/></svg>',
    f"<math><mtext></mtext><mglyph><style></math><img src=x onerror={RUN}>",
    f"<math><a xlink:href=javascript:{RUN}>x</a></math>",
    f"<body onload={RUN}>",
    f"<iframe src=javascript:{RUN}></iframe>",
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    f"<object data={ELSEWHERE}></object><embed src={ELSEWHERE}>",
    f"<form action={ELSEWHERE}><button autofocus onfocus={RUN}>x</button></form>",
    f"<input autofocus onfocus={RUN}>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src={ELSEWHERE} onerror={RUN}>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<style>@import '{ELSEWHERE}.css'; body {{ background: url({ELSEWHERE}.png) }}</style>",
    f"<link rel=stylesheet href={ELSEWHERE}.css>",
    f"<meta http-equiv=refresh content='0;url={ELSEWHERE}'>",
    f"<base href={ELSEWHERE}/>",
    f"<template><img src=x onerror={RUN}></template>",
    f"<noscript><p title='</noscript><img src=x onerror={RUN}>'>",
    f"<div style='background:url({ELSEWHERE}.png);position:fixed;inset:0'>cover</div>",
    f"[click](javascript:{RUN})",
    f"[click](JaVaScRiPt:{RUN})",
    f"[click](java&#10;script:{RUN})",
    f"[click](&#106;avascript:{RUN})",
    f"[click](\x01javascript:{RUN})",
    f"[click](data:text/html,<script>{RUN}</script>)",
    f"[click](vbscript:{RUN})",
    f"[click](blob:{RUN})",
    "[click](file:///etc/passwd)",
    "[click](//evil.example/x)",
    f"<javascript:{RUN}>",
    f"<a href='javascript:{RUN}'>click</a>",
    f'[click](http://a.example "onmouseover={RUN}")',
    f'[click](http://a.example" onclick="{RUN})',
    f"[a]: javascript:{RUN}\n\n[a]",
    f'```"><img/src=x/onerror={RUN}>\n</code></pre><script>{RUN}</script>\n```',
    f"`</code><script>{RUN}</script>`",
    f"| a |\n|---|\n| <img src=x onerror={RUN}> |",
    f"# <img src=x onerror={RUN}>\n> <script>{RUN}</script>\n- <svg onload={RUN}>",
    f"<!--><script>{RUN}</script>-->",
    f"<![CDATA[<script>{RUN}</script>]]>",
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"{{{{constructor.constructor('{RUN}')()}}}} ${{{RUN}}}",
    "> " * 600 + f"<img src=x onerror={RUN}>",
    "[" * 2000 + "](" + "*" * 500,
    "\u202e<script>\u202d\u0000".replace("\u0000", "") + f"{RUN}</script>",
]

REPORT = "addEventListener('securitypolicyviolation', ({ blockedURI }) => console.error(`policy: ${blockedURI}`))"

# What Markdown may become, and the attributes that it may have.
ALLOWED = """() => {
  const attributes = new Set(['href', 'target', 'rel', 'class', 'dir', 'start', 'scope', 'type', 'disabled', 'checked',
    'tabindex', 'role', 'aria-label', 'aria-hidden', 'd', 'x', 'y', 'width', 'height', 'rx', 'viewBox']);
  const elements = new Set(['P', 'H3', 'H4', 'H5', 'H6', 'UL', 'OL', 'LI', 'BLOCKQUOTE', 'HR', 'PRE', 'CODE', 'TABLE',
    'THEAD', 'TBODY', 'TR', 'TH', 'TD', 'STRONG', 'EM', 'DEL', 'BR', 'A', 'SPAN', 'DIV', 'BUTTON', 'INPUT', 'svg',
    'use']);
  const found = [];
  for (const element of document.querySelectorAll('.prose *, .bubble *, #rooms a *, #room-name *')) {
    if (!elements.has(element.tagName)) found.push(element.outerHTML);
    for (const { name } of element.attributes) if (!attributes.has(name)) found.push(element.outerHTML);
    if (element.tagName === 'A' && !/^(https?|mailto):$/.test(element.protocol)) found.push(element.outerHTML);
    const isOut = element.target === '_blank' && element.relList.contains('noopener');
    if (element.tagName === 'A' && !isOut && element.closest('.prose')) found.push(element.outerHTML);
  }
  return found;
}"""


def test_payloads_of_the_model_and_of_users_stay_text(visit: Visit, service: Service, gemini: FakeGemini) -> None:
    one = visit().sign_up(name=PAYLOADS[2])
    one.page.add_init_script(REPORT)
    one.page.reload()
    gemini.will(*(Outcome(text=payload) for payload in PAYLOADS[:3]))
    for payload in PAYLOADS[:3]:  # as they stream in
        one.send(payload)
        expect(one.replies.last).to_have_attribute("aria-busy", "false")
        expect(one.page.locator(".bubble").last).to_have_text(payload)
    with service.http(one.token()) as http:
        room = http.post("/chatroom", json={"name": PAYLOADS[5]}).json()["id"]
        gemini.will(*(Outcome(text=payload) for payload in PAYLOADS))
        for payload in PAYLOADS:
            assert http.post(f"/chatroom/{room}/message", json={"message": payload}).status_code == 202
        newest = f"/chatroom/{room}?limit=1"
        until("all are answered", lambda: http.get(newest).json()["messages"][-1]["status"] in {"done", "failed"})
    one.page.reload()
    expect(one.rooms.first).to_have_text(PAYLOADS[5])
    one.rooms.first.click()
    expect(one.replies.last).to_have_attribute("aria-busy", "false")
    while one.button("Show earlier messages").is_visible():
        before = one.replies.count()
        one.button("Show earlier messages").click()
        expect(one.replies).not_to_have_count(before)
    expect(one.replies).to_have_count(len(PAYLOADS))
    for link in one.page.locator(".prose a").all():
        link.hover()
        link.focus()
    assert one.page.evaluate(ALLOWED) == []
    assert one.page.evaluate("window.ran") is None
    assert len(one.context.pages) == 1
    # What looks like HTML is shown as it was written.
    expect(one.page.locator(".prose").first).to_have_text(PAYLOADS[0])


def test_the_page_cannot_make_html_of_strings(visit: Visit) -> None:
    # The browser holds the page to its policy, should a script of it ever try.
    one = visit()
    one.open()
    expect(one.field("Mobile number")).to_be_visible()
    attempts = [
        "document.body.innerHTML = '<b>x</b>'",
        "document.write('x')",
        "new DOMParser().parseFromString('x', 'text/html')",
        "trustedTypes.createPolicy('mine', {})",
        "document.createElement('script').src = '/x.js'",
        "setTimeout('1')",
    ]
    outcome = """(code) => {
      const attempt = document.createElement('span');
      try { ATTEMPT; return 'worked'; } catch (error) { return error.name; }
    }"""
    assert {code: one.page.evaluate(outcome.replace("ATTEMPT", code)) for code in attempts} == dict.fromkeys(
        attempts, "TypeError"
    )
    assert one.faults, "each attempt is reported"
    one.faults.clear()
