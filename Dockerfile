# CPU:  docker build -t longwatch .
# GPU:  docker build -t longwatch:gpu --build-arg ACCELERATOR=gpu .   (run with --gpus all)
#
# Versions and digests come from requirements.lock; TORCH is chosen here. The library lives in the volume /data.
FROM python:3.11-slim-bookworm

ARG ACCELERATOR=cpu
ARG TORCH=torch==2.13.0

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    LONGWATCH_HOME=/data \
    GRADIO_ANALYTICS_ENABLED=False

WORKDIR /opt/longwatch

# The first process of a container ends at no signal that it does not handle, and inherits orphans:
# tini is that process, so that a stop during the start is one, too.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 longwatch \
    && install -d -o longwatch -g longwatch /data

# Dependencies before sources, so that a change of code leaves this layer in the cache.
COPY requirements.lock ./
RUN pip install "$TORCH" \
    && pip install --require-hashes --no-deps --requirement requirements.lock
# The client of object stores is an extra, pinned among those of the tests.
COPY requirements-dev.lock ./
RUN pip install --no-deps "$(sed -n 's/^\(obstore==[^ ]*\).*/\1/p' requirements-dev.lock)"
# faiss-gpu and faiss-cpu provide the same module, so the CPU one leaves first.
RUN if [ "$ACCELERATOR" = gpu ]; then \
        pip uninstall --yes faiss-cpu \
        && pip install "$(sed -n 's/^faiss-cpu==\([^ ]*\).*/faiss-gpu==\1/p' requirements.lock)" ; \
    fi

COPY pyproject.toml README.md LICENSE NOTICE ./
COPY app app
COPY engine engine
COPY storage storage
COPY assets/models assets/models
RUN pip install --no-deps .

USER longwatch
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"

# Any address but loopback needs an account first:
#   docker run --rm -it -v longwatch:/data longwatch user add NAME --role admin
ENTRYPOINT ["tini", "--", "longwatch"]
CMD ["serve", "--host", "0.0.0.0"]
