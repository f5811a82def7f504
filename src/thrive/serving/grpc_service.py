"""The Open Inference Protocol v2 over gRPC, beside HTTP in each worker: an extra, `thrive[grpc]`.

Requests become what the same requests over HTTP become, and are checked, answered, logged, routed
and refused alike. Call metadata takes the place of headers.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from typing import Any

from thrive.domain.errors import UsageError
from thrive.serving import inference_v2
from thrive.serving.app import App
from thrive.serving.asgi import Headers, HttpError
from thrive.serving.grpc_messages import PACKAGE, SERVICE, messages
from thrive.serving.inference_v2 import Asked
from thrive.serving.limits import Limits
from thrive.serving.tensors import BINARY_SIZE, Tensor, to_bytes

_logger = logging.getLogger(__name__)

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the values of a datatype stand."""
_SERVER_STATE = {"ServerLive": "live", "ServerReady": "ready"}


async def start(app: App, address: str, limits: Limits) -> Any:
    """Return a server that answers at an address; several processes may share it.

    Args:
        app: what answers.
        address: HOST:PORT.
        limits: the largest message, and how many calls may be at work.

    Raises:
        UsageError: the extra is not installed, or the address cannot be used.
    """
    try:
        grpc: Any = import_module("grpc")
        aio: Any = import_module("grpc.aio")
        service = Service(app, grpc)
    except ImportError:
        raise UsageError("gRPC is not installed.", 'pip install "thrive[grpc]"') from None
    options = [("grpc.so_reuseport", 1), ("grpc.max_receive_message_length", limits.body_bytes)]
    server = aio.server(options=options, maximum_concurrent_rpcs=2 * limits.in_flight)
    server.add_generic_rpc_handlers([service.handlers()])
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise UsageError(f"{address} cannot be used: {error}.", "choose another port") from None
    await server.start()
    return server


class Service:
    """Answers the calls of the protocol.

    Args:
        app: what answers the same requests over HTTP.
        grpc: the library.
    """

    def __init__(self, app: App, grpc: Any) -> None:
        self._app = app
        self._grpc = grpc
        self._made = messages()

    def handlers(self) -> Any:
        """Return what the library calls."""
        calls = {
            "ServerLive": self._server_state,
            "ServerReady": self._server_state,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "RepositoryIndex": self._index,
            "ModelInfer": self._infer,
        }
        found = {name: self._unary(name, answer) for name, answer in calls.items()}
        found["ModelStreamInfer"] = self._grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=self._made["ModelInferRequest"].FromString,
            response_serializer=self._made["ModelStreamInferResponse"].SerializeToString,
        )
        return self._grpc.method_handlers_generic_handler(SERVICE, found)

    def _unary(self, name: str, answer: Callable[[str, Any, Headers], Awaitable[Any]]) -> Any:
        async def handle(request: Any, context: Any) -> Any:
            headers = _headers(context)
            try:
                if name not in _SERVER_STATE:
                    self._app.require_caller(f"/{PACKAGE}/{name}", headers)
                return await answer(name, request, headers)
            except HttpError as error:
                status = getattr(self._grpc.StatusCode, _STATUS.get(error.status, "INTERNAL"))
                await context.abort(status, f"{error.message} {error.hint}".strip())
            except Exception:
                _logger.exception("%s failed", name)
                await context.abort(self._grpc.StatusCode.INTERNAL, "The server failed.")

        return self._grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=self._made[f"{name}Request"].FromString,
            response_serializer=self._made[f"{name}Response"].SerializeToString,
        )

    async def _server_state(self, name: str, *_: Any) -> Any:
        field = _SERVER_STATE[name]
        return self._made[f"{name}Response"](**{field: field == "live" or self._app.ready})

    async def _model_ready(self, _name: str, request: Any, _headers: Headers) -> Any:
        live = self._app.model(request.name)
        inference_v2.check_version(live, request.version or None)
        ready = self._app.ready and live.production is not None
        return self._made["ModelReadyResponse"](ready=ready)

    async def _server_metadata(self, *_: Any) -> Any:
        return self._made["ServerMetadataResponse"](**inference_v2.server_metadata())

    async def _model_metadata(self, _name: str, request: Any, _headers: Headers) -> Any:
        live = self._app.model(request.name)
        inference_v2.check_version(live, request.version or None)
        return self._made["ModelMetadataResponse"](
            **inference_v2.model_metadata(request.name, live)
        )

    async def _index(self, _name: str, request: Any, _headers: Headers) -> Any:
        found = inference_v2.index(self._app.models)
        if request.ready:
            found = [each for each in found if each["state"] == "READY"]
        return self._made["RepositoryIndexResponse"](models=found)

    async def _stream(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Answer one request after the other; one that is refused ends nothing."""
        made = self._made["ModelStreamInferResponse"]
        headers = _headers(context)
        async for request in requests:
            try:
                self._app.require_caller(f"/{PACKAGE}/ModelStreamInfer", headers)
                yield made(infer_response=await self._infer("", request, headers))
            except HttpError as error:
                yield made(error_message=f"{error.message} {error.hint}".strip())

    async def _infer(self, _name: str, request: Any, headers: Headers) -> Any:
        live = self._app.model(request.model_name)
        inference_v2.check_version(live, request.model_version or None)
        asked, raw = _asked(request)
        rows = inference_v2.rows_of(asked, memoryview(raw), live)
        sync = headers.get(b"logged") == b"sync"
        parts = await self._app.answer(live, rows, headers, request.ByteSize(), sync=sync)
        first = parts[0].answer
        made = self._made["ModelInferResponse"](
            model_name=first.model,
            model_version=str(first.version),
            id=asked.id,
            parameters={
                "variant": {"string_param": first.variant},
                "prediction_id": {"string_param": first.record_id},
            },
        )
        for name, datatype, values in inference_v2.outputs_of(asked, parts, live):
            made.outputs.add(name=name, datatype=datatype, shape=[len(values)])
            made.raw_output_contents.append(to_bytes(datatype, values))
        return made


def _headers(context: Any) -> Headers:
    """Return the metadata of a call by lower-case name."""
    return {
        key.encode(): value if isinstance(value, bytes) else value.encode()
        for key, value in context.invocation_metadata() or ()
    }


def _asked(request: Any) -> tuple[Asked, bytes]:
    """Return a request as it would have come over HTTP: tensors, and the raw bytes behind them.

    Raises:
        HttpError: 422, raw contents and tensors do not belong together.
    """
    raw = [bytes(each) for each in request.raw_input_contents]
    if raw and len(raw) != len(request.inputs):
        raise HttpError(
            422, "InvalidTensor", f"{len(raw)} raw contents for {len(request.inputs)} inputs."
        )
    inputs = [
        _tensor(each, raw[place] if raw else None) for place, each in enumerate(request.inputs)
    ]
    outputs = [Tensor(name=each.name) for each in request.outputs]
    return Asked(id=request.id, inputs=inputs, outputs=outputs), b"".join(raw)


def _tensor(sent: Any, raw: bytes | None) -> Tensor:
    tensor = Tensor(name=sent.name, shape=list(sent.shape), datatype=sent.datatype)
    if raw is not None:
        tensor.parameters = {BINARY_SIZE: len(raw)}
        return tensor
    field = _CONTENTS.get(sent.datatype)
    if field is None:
        raise HttpError(
            422,
            "InvalidTensor",
            f"Input {sent.name[:80]!r} has the datatype {sent.datatype[:20]!r}.",
        )
    values: list[Any] = list(getattr(sent.contents, field))
    if sent.datatype == "BYTES":
        tensor.data = [each.decode("utf-8", "replace") for each in values]
    elif sent.datatype.startswith("FP"):
        tensor.data = [None if each != each else each for each in values]  # noqa: PLR0124 - NaN is missing
    else:
        tensor.data = values
    return tensor
