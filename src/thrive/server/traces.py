"""Traces for OpenTelemetry (the extra `telemetry`): one span for each request that is answered.

They are on when the standard variables name a receiver (`OTEL_EXPORTER_OTLP_ENDPOINT`), and a
request that brings a `traceparent` continues that trace. Spans are sent in batches by a thread of
the library, never by the request: a receiver that is gone costs no caller anything.
"""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from starlette.types import Scope

from thrive.domain.errors import UsageError
from thrive.version import __version__

SERVICE = "thrive-server"
RECEIVERS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_OFF = "OTEL_SDK_DISABLED"


class Traces:
    """Makes spans of requests; names and attributes are those of the semantic conventions.

    Args:
        provider: a `TracerProvider` of the SDK.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("thrive.server", __version__)
        api = import_module("opentelemetry.trace")
        self._server, self._status = api.SpanKind.SERVER, api.Status(api.StatusCode.ERROR)
        context = import_module("opentelemetry.trace.propagation.tracecontext")
        self._read = context.TraceContextTextMapPropagator().extract

    def begin(self, scope: Scope) -> Any:
        """Return the span of a request that has come."""
        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in {b"traceparent", b"tracestate"}
        }
        return self._tracer.start_span("request", context=self._read(carrier), kind=self._server)

    def end(self, span: Any, scope: Scope, method: str, status: int) -> None:
        """End the span of a request that was answered; paths and queries are not told."""
        route = scope.get("thrive.route", "none")
        span.update_name(f"{method} {route}")
        span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "thrive.request_id": scope["thrive.id"],
            }
        )
        if status >= 500:
            span.set_status(self._status)
        span.end()

    def close(self) -> None:
        """Send what waits; nothing is made afterwards."""
        self._provider.shutdown()


def traces_from(environment: Mapping[str, str] = os.environ) -> Traces | None:
    """Return what makes spans, None where no receiver is named.

    Raises:
        UsageError: one is named, and the library is not installed.
    """
    named = next((name for name in RECEIVERS if environment.get(name)), "")
    if not named or environment.get(_OFF, "").lower() == "true":
        return None
    try:
        sdk = import_module("opentelemetry.sdk.trace")
        batches = import_module("opentelemetry.sdk.trace.export")
        resources = import_module("opentelemetry.sdk.resources")
        sender = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError:
        raise UsageError(
            f"{named} asks for traces, and OpenTelemetry is not installed.",
            'pip install "thrive[telemetry]"',
        ) from None
    service = environment.get("OTEL_SERVICE_NAME", SERVICE)
    resource = resources.Resource.create({"service.name": service, "service.version": __version__})
    provider = sdk.TracerProvider(resource=resource)
    provider.add_span_processor(batches.BatchSpanProcessor(sender.OTLPSpanExporter()))
    return Traces(provider)
