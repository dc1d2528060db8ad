# An image that puts podlink on the node it runs on: its entrypoint is `podlink install`, as in cni/operator/install/daemonset.yaml.
#
#   docker build -t podlink .
#
# The steps only need Debian with npm; conformance/cases/553-dockerfile.case.ts runs them without Docker.

FROM node:24-bookworm AS build
WORKDIR /podlink
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY build.mjs tsconfig.json LICENSE ./
COPY cni cni
COPY ipam ipam
RUN npm run build -- "$(node -p process.arch)"
RUN mkdir image && mv dist/podlink* image/podlink && mv dist/LICENSES.txt image

# Nothing else: podlink brings the libraries that it needs.
FROM scratch
COPY --from=build /podlink/image/podlink /podlink
COPY --from=build /podlink/image/LICENSES.txt /LICENSES.txt
ENTRYPOINT ["/podlink", "install"]
CMD ["/host/opt/cni/bin", "--conf-dir", "/host/etc/cni/net.d"]
