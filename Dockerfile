# The image of `vmguard serve`: the wheel and what its lock names, as a user without rights.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock pyproject.toml README.md LICENSE ./
COPY webhook ./webhook
COPY certs ./certs
# All that comes from a registry is checked against a hash, the build backend too.
RUN python -m venv /opt/vmguard \
    && /opt/vmguard/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock \
    && /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/vmguard/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM python:3.13-slim
COPY --from=build /opt/vmguard /opt/vmguard
ENV PATH=/opt/vmguard/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65534:65534
EXPOSE 8443 8080
ENTRYPOINT ["vmguard"]
CMD ["serve"]
