# One image for everything that is ours: migrate, workers, API, Flower. The command chooses.
FROM python:3.13.9-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/saga
COPY constraints.txt .
RUN /opt/saga/bin/pip install --no-cache-dir --constraint constraints.txt pip setuptools
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY models models
COPY tasks tasks
COPY saga saga
RUN /opt/saga/bin/pip install --no-cache-dir --no-build-isolation \
    --constraint constraints.txt '.[anthropic,api,flower,otel]'

FROM python:3.13.9-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin saga
COPY --from=build /opt/saga /opt/saga
ENV PATH=/opt/saga/bin:$PATH PYTHONUNBUFFERED=1
# Your own modules go here and are named by --app.
WORKDIR /app
USER saga
ENTRYPOINT ["saga"]
CMD ["--help"]
