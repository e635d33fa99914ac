FROM python:3.13-slim AS dependencies

COPY requirements/runtime.txt /tmp/runtime.txt
# The image's own pip fills the environment, so that none has to be carried along in it.
# Wheels only, each checked against its hash: no compiler is needed, here or later. What the lock lists and nothing else
# (--no-deps); that this is complete is checked afterwards.
RUN python -m venv --without-pip /venv \
    && python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
        --only-binary :all: --require-hashes --no-deps -r /tmp/runtime.txt \
    && python -m pip --python /venv/bin/python check --disable-pip-version-check


FROM python:3.13-slim

# The directory is made here so that a new named volume takes over its owner.
RUN useradd --system --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin app \
    && install --directory --owner app --mode 0700 /data

COPY --from=dependencies /venv /venv

WORKDIR /app
COPY domain domain
COPY application application
COPY adapters adapters
COPY entrypoints entrypoints
COPY migrations migrations
COPY wsgi.py rq_worker.py ./

ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data

# By number, so that an orchestrator can see that it is not root.
USER 10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM

# Of the web server; docker-compose.yml turns it off for the other roles. The empty ProxyHandler
# keeps a proxy that Docker passes in from being asked for 127.0.0.1.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/health/live', timeout=4)"]

CMD ["python", "-m", "entrypoints.cli", "web"]
