"""The worker's tasks: a request to be tried again while Redis takes no message is not dropped."""

from __future__ import annotations

import pytest
from celery.exceptions import Reject

from moderation.decision_log.records import Answer
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import ImageUnavailable, LogUnavailable, ModerationError
from moderation.images.fetch.fetcher import Fetcher
from moderation.messages import TASK_NAME
from moderation.settings import load_settings
from moderation.worker.answering import Answerer, TryAgain
from moderation.worker.arrival import ArrivedRequest
from moderation.worker.metrics import Metrics
from moderation.worker.tasks import create_app_with_tasks
from tests.support.sample_pipeline import make_pipeline


class Failing(Answerer):
    """Has no answer to any request."""

    def __init__(self, error: ModerationError) -> None:
        self._error = error

    def answer(self, request: ArrivedRequest) -> Answer:
        raise TryAgain(self._error)


@pytest.mark.parametrize(
    "error", [ImageUnavailable("the server is down", "image"), LogUnavailable("down", "log")]
)
def test_a_request_that_cannot_be_sent_again_is_put_back(error: ModerationError) -> None:
    with EmbeddedRedis() as gone:
        settings = load_settings(broker_url=gone.url)
    with make_pipeline(frames=1) as pipeline, Fetcher(settings) as fetcher:
        app = create_app_with_tasks(settings, pipeline, fetcher, Failing(error), Metrics())
        task = app.tasks[TASK_NAME]
        info = {"routing_key": "moderation.interactive"}
        task.push_request(id="a", called_directly=False, is_eager=False, delivery_info=info)
        with pytest.raises(Reject) as rejected:
            task.run(request={})
    assert rejected.value.requeue
