# The image of `vmguard serve`: the wheel and what its lock names, as a user without rights.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY webhook ./webhook
COPY certs ./certs
RUN python -m venv /opt/vmguard \
    && /opt/vmguard/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
    && pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && /opt/vmguard/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM python:3.13-slim
COPY --from=build /opt/vmguard /opt/vmguard
ENV PATH=/opt/vmguard/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65534:65534
EXPOSE 8443 8080
ENTRYPOINT ["vmguard"]
CMD ["serve"]
