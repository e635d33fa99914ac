"""Whether Redis takes writes, and what workers tell through it, in one round trip."""

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from adapters.redis.worker_heartbeat import MODEL_FAULT, PRESENT
from application.ports.health import Fault, Faults, Part, Probe

MODEL_FAULTS = {fault.value.encode(): fault for fault in Fault}
KEY = "probe"
SECONDS = 10


class RedisProbe(Probe):
    """Of a Redis that is not well nothing is said about the workers: they could not announce themselves."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def __call__(self) -> Faults:
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.set(KEY, b"1", ex=SECONDS)
                pipeline.exists(PRESENT)
                pipeline.get(MODEL_FAULT)
                # A replica, one that is out of memory and one whose disk is full answer PING as if nothing was wrong.
                written, present, model_fault = pipeline.execute(raise_on_error=False)
        except RedisError:
            return {Part.REDIS: Fault.UNREACHABLE}
        if written is not True:
            return {Part.REDIS: Fault.NO_WRITES if isinstance(written, ResponseError) else Fault.UNREACHABLE}
        faults: dict[Part, Fault] = {}
        if not present:
            faults[Part.WORKERS] = Fault.ABSENT
        if model_fault:
            # A worker of another release may know faults that this process does not.
            faults[Part.MODEL] = MODEL_FAULTS.get(model_fault, Fault.UNREACHABLE)
        return faults
