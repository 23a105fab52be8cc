"""A native client: calls the ledger through the gateway and prints what it saw, as JSON."""
import json
import sys

import grpc

place, out = sys.argv[1:3]
sys.path.insert(0, out)
import ledger_pb2 as pb
import ledger_pb2_grpc as rpc

seen = {}
with grpc.insecure_channel(place) as channel:
    ledger = rpc.LedgerStub(channel)
    reply, call = ledger.Transfer.with_call(pb.TransferRequest(to="b"), timeout=20, metadata=(("x-who", "me"),))
    seen["unary"] = reply.request.to
    seen["initial"] = dict(call.initial_metadata()).get("x-ledger")
    seen["trailing"] = dict(call.trailing_metadata()).get("x-cost")
    seen["metadata"] = ledger.Metadata(pb.WatchRequest(), metadata=(("x-who", "me"), ("x-raw-bin", b"\x00\xff"))).metadata["x-who"]
    seen["remaining"] = ledger.Metadata(pb.WatchRequest(), timeout=3).remaining_ms
    seen["unbounded"] = ledger.Metadata(pb.WatchRequest()).has_deadline
    seen["watch"] = [entry.number for entry in ledger.Watch(pb.WatchRequest(count=3))]
    seen["sum"] = ledger.Sum(iter([pb.Entry(number=4), pb.Entry(number=5)])).sum
    seen["chat"] = [entry.number for entry in ledger.Chat(iter([pb.Entry(number=1), pb.Entry(number=2)]))]

    def fails(what):
        try:
            what()
        except grpc.RpcError as error:
            return [error.code().name, error.details()]
        return None

    seen["fail"] = fails(lambda: ledger.Fail(pb.FailRequest(code=5)))
    seen["torn"] = fails(lambda: list(ledger.Watch(pb.WatchRequest(count=1, fail=True))))
    seen["large"] = fails(lambda: list(ledger.Watch(pb.WatchRequest(count=1, size=5 << 20))))
    method = lambda path: channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
    seen["unknown"] = fails(lambda: method("/ledger.v1.Ledger/Nothing")(b""))
    seen["no_route"] = fails(lambda: method("/elsewhere.Service/Method")(b""))
    seen["down"] = fails(lambda: method("/down.Service/Method")(b""))
print(json.dumps(seen))
