from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from application.ports.health import Fault
from application.ports.worker_heartbeat import WorkerHeartbeat

PRESENT = "workers:present"
PRESENT_SECONDS = 10
MODEL_FAULT = "workers:model_fault"
MODEL_FAULT_SECONDS = 5


class RedisWorkerHeartbeat(WorkerHeartbeat):
    """Keys that expire unless some worker sets them again. ``model_fault``: what this one finds of the model."""

    def __init__(self, redis: Redis, *, model_fault: Callable[[], Fault | None]) -> None:
        self._redis = redis
        self._model_fault = model_fault

    def announce(self) -> None:
        try:
            self._redis.set(PRESENT, b"1", ex=PRESENT_SECONDS)
            if fault := self._model_fault():
                self._redis.set(MODEL_FAULT, fault.value, ex=MODEL_FAULT_SECONDS)
        except RedisError:
            return  # readiness reports Redis itself
