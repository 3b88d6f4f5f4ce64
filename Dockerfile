# CPU:  docker build -t longwatch .
# GPU:  docker build -t longwatch:gpu --build-arg ACCELERATOR=gpu .   (run with --gpus all)
#
# Versions are pinned here and bounded in pyproject.toml. The library lives in the volume /data.
FROM python:3.11-slim-bookworm

ARG ACCELERATOR=cpu

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    LONGWATCH_HOME=/data \
    GRADIO_ANALYTICS_ENABLED=False

WORKDIR /opt/longwatch

RUN apt-get update \
    && apt-get install --yes --no-install-recommends libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 longwatch \
    && install -d -o longwatch -g longwatch /data

ARG TORCH=torch==2.13.0
RUN pip install "$TORCH" \
        alembic==1.20.1 \
        argon2-cffi==25.1.0 \
        av==18.1.0 \
        faiss-cpu==1.15.1 \
        fastapi==0.165.0 \
        gradio==6.31.0 \
        huggingface-hub==2.4.0 \
        jaxtyping==0.3.11 \
        matplotlib==3.11.2 \
        numpy==2.4.6 \
        opencv-python-headless==5.0.0.93 \
        pillow==12.3.0 \
        platformdirs==4.14.5 \
        prometheus-client==0.26.0 \
        psutil==7.2.2 \
        pydantic-settings==2.16.3 \
        rich==15.0.0 \
        safetensors==0.8.0 \
        sqlalchemy==2.1.9 \
        tokenizers==0.23.3 \
        tomlkit==0.14.0 \
        transformers==5.23.0 \
        typer==0.29.2 \
        uvicorn==0.54.0 \
        "psycopg[binary]==3.3.9"

COPY pyproject.toml README.md ./
COPY app app
COPY engine engine
COPY storage storage
COPY assets assets
# faiss-gpu and faiss-cpu provide the same module, so the CPU one leaves first.
RUN pip install --no-deps . \
    && if [ "$ACCELERATOR" = gpu ]; then \
           pip uninstall --yes faiss-cpu \
           && pip install faiss-gpu==1.15.1 ; \
       fi

USER longwatch
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"

# Any address but loopback needs an account first:
#   docker run --rm -it -v longwatch:/data longwatch user add NAME --role admin
ENTRYPOINT ["longwatch"]
CMD ["serve", "--host", "0.0.0.0"]
