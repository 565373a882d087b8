"""What schemathesis does not know by itself: JSON lines."""

import json

import schemathesis


@schemathesis.serializer("application/jsonl")
def jsonl(ctx, value):
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    lines = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(line) for line in lines).encode()
