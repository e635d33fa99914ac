# Works with Docker, podman and buildah. Arguments that a release gives: VERSION and REVISION (the commit). REQUIREMENTS is
# `telemetry` for an image that can send traces (OpenTelemetry) and errors (Sentry).
FROM python:3.13-slim AS dependencies

ARG REQUIREMENTS=runtime
COPY requirements/runtime.txt requirements/telemetry.txt /tmp/
# The image's own pip fills the environment, so that none has to be carried along in it.
# Wheels only, each checked against its hash: no compiler is needed, here or later. What the lock lists and nothing else
# (--no-deps); that this is complete is checked afterwards.
RUN python -m venv --without-pip /venv \
    && python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
        --only-binary :all: --require-hashes --no-deps -r "/tmp/$REQUIREMENTS.txt" \
    && python -m pip --python /venv/bin/python check --disable-pip-version-check


FROM python:3.13-slim AS sources

WORKDIR /app
COPY domain domain
COPY application application
COPY adapters adapters
COPY entrypoints entrypoints
COPY migrations migrations
COPY wsgi.py rq_worker.py ./
ARG VERSION=unreleased
ARG REVISION=unknown
# Says which release this is as an installed package does (PEP 566, PEP 610), for `gemini-chat version` and Sentry.
RUN mkdir gemini_chat_backend.dist-info && cd gemini_chat_backend.dist-info \
    && printf 'Metadata-Version: 2.1\nName: gemini-chat-backend\nVersion: %s\n' "$VERSION" >METADATA \
    && if [ "$REVISION" != unknown ]; then \
        printf '{"url": "file:///app", "vcs_info": {"vcs": "git", "commit_id": "%s"}}' "$REVISION" >direct_url.json; \
    fi
# COPY keeps modes: those of a checkout made under umask 077 would let nobody but root read them.
RUN chmod -R u=rwX,go=rX /app \
    && printf '#!/bin/sh\nexec python -m entrypoints.cli "$@"\n' >/gemini-chat \
    && chmod 0755 /gemini-chat


FROM python:3.13-slim

ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="gemini-chat-backend" \
    org.opencontainers.image.description="A chat backend: rooms, queued model replies, one-time-password login, subscriptions" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"

# The directory is made here so that a new named volume takes over its owner. Its group is root's, so that a user with any
# number may write there, as on OpenShift.
RUN useradd --uid 10001 --gid 0 --no-create-home --home-dir /data --shell /usr/sbin/nologin app \
    && install --directory --owner 10001 --group 0 --mode 0770 /data

COPY --from=dependencies /venv /venv
COPY --from=sources /gemini-chat /usr/local/bin/gemini-chat
COPY --from=sources /app /app

WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data

# By number, so that an orchestrator can see that it is not root.
USER 10001:0
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM

# Of the web server and of a worker alike; docker-compose.yml turns it off for migrations.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD python -m entrypoints.health "$DATA_DIR" "$PORT"

CMD ["python", "-m", "entrypoints.cli", "web"]
