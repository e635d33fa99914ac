import time
from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from application.ports.health import Fault
from application.ports.worker_heartbeat import WorkerHeartbeat

PRESENT = "workers:present"
PRESENT_SECONDS = 10
# Not with each call: at rest this would be most of what a worker asks of Redis.
TOLD_EVERY_SECONDS = 4.0
MODEL_FAULT = "workers:model_fault"
MODEL_FAULT_SECONDS = 5


class RedisWorkerHeartbeat(WorkerHeartbeat):
    """Keys that expire unless some worker sets them again. ``model_fault``: what this one finds of the model."""

    def __init__(self, redis: Redis, *, model_fault: Callable[[], Fault | None]) -> None:
        self._redis = redis
        self._model_fault = model_fault
        self._tell_again_at = 0.0

    def announce(self) -> None:
        try:
            if time.monotonic() >= self._tell_again_at:
                self._redis.set(PRESENT, b"1", ex=PRESENT_SECONDS)
                self._tell_again_at = time.monotonic() + TOLD_EVERY_SECONDS
            if fault := self._model_fault():
                self._redis.set(MODEL_FAULT, fault.value, ex=MODEL_FAULT_SECONDS)
        except RedisError:
            return  # readiness reports Redis itself
