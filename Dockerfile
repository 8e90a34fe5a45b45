# The app for the CPU, or with --build-arg TORCH_INDEX=https://pypi.org/simple for a GPU. See docs/deployment.md.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

# tini is process 1: it reaps ended trainings and forwards signals.
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 explorer

WORKDIR /app
COPY requirements.txt .
# PyTorch without GPU libraries, which make up most of its size.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Optional packages, such as "timm" for published models.
ARG EXTRAS=""
RUN pip install --no-cache-dir --extra-index-url "${TORCH_INDEX}" -r requirements.txt ${EXTRAS}

COPY --chown=explorer . .
# The app writes only uploads, runs and caches.
RUN mkdir -p /storage/checkpoints /storage/data && chown -R explorer /storage
ENV VIT_CHECKPOINTS=/storage/checkpoints \
    VIT_DATA=/storage/data \
    PYTHONUNBUFFERED=1 \
    PORT=8501
VOLUME ["/storage/checkpoints", "/storage/data"]
USER explorer
EXPOSE 8501

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD \
    ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/_stcore/health', timeout=4)"]

ENTRYPOINT ["tini", "--"]
# Copy the included runs into a new volume.
CMD ["sh", "-c", "mkdir -p \"$VIT_CHECKPOINTS\" \"$VIT_DATA\" && for run in checkpoints/*; do [ -e \"$VIT_CHECKPOINTS/${run##*/}\" ] || cp -r \"$run\" \"$VIT_CHECKPOINTS\" || exit 1; done && exec python -m streamlit run streamlit_app.py --server.headless=true --server.address=0.0.0.0 --server.port=\"$PORT\""]
