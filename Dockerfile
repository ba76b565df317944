# The image of every room: the wheel with its web page, and nothing that built it.
#
#   docker build -t smartsite .

FROM node:24-bookworm-slim AS web
WORKDIR /build/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web/ ./
RUN npm run build

FROM python:3.12-slim-bookworm AS wheels
WORKDIR /build
COPY . .
COPY --from=web /build/smartsite/static ./smartsite/static
# The page is built already: the build hook must not look for Node.
ENV SMARTSITE_SKIP_WEB=1
RUN pip wheel --no-cache-dir --constraint constraints.txt --wheel-dir /wheels .

FROM python:3.12-slim-bookworm
RUN useradd --create-home --uid 10001 smartsite && mkdir /data && chown smartsite /data
COPY --from=wheels /wheels /wheels
RUN pip install --no-cache-dir --no-index --find-links /wheels smartsite && rm -r /wheels
USER smartsite
WORKDIR /home/smartsite
ENV SMARTSITE_DATA_DIR=/data PYTHONUNBUFFERED=1
VOLUME /data
ENTRYPOINT ["smartsite"]
CMD ["--help"]
