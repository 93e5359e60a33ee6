# The image of `vmguard serve`: the wheel and what its lock names, as a user without rights.
# The base is named by its digest, so each build has the same one. A release looks up a newer digest (docs/release.md).
ARG PYTHON_IMAGE=docker.io/library/python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
# All that comes from a registry is checked against a hash, the build backend too. pip is in /opt/build only.
RUN python -m venv --without-pip /opt/vmguard \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock \
    && /opt/build/bin/pip --python /opt/vmguard install --no-cache-dir --no-compile --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY webhook ./webhook
COPY certs ./certs
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/build/bin/pip --python /opt/vmguard install --no-cache-dir --no-compile --no-deps --no-index /wheels/*.whl
COPY image ./image
RUN /opt/vmguard/bin/python image/trim.py /opt/compiled

FROM ${PYTHON_IMAGE}
# Nothing is installed in a running container. Without pip nobody can.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip
COPY --from=build /opt/compiled/ /
COPY --from=build /opt/vmguard /opt/vmguard
ENV PATH=/opt/vmguard/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65534:65534
EXPOSE 8443 8080
ENTRYPOINT ["vmguard"]
CMD ["serve"]
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vmguard" \
      org.opencontainers.image.description="Admission webhook that makes VictoriaMetrics pods secure" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="https://github.com/vmguard/vmguard" \
      org.opencontainers.image.documentation="https://github.com/vmguard/vmguard/tree/main/docs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
