"""Whatever waits goes to the model together, and each caller gets its own answer."""

import asyncio

import numpy as np
import pytest

from thrive.serving.batches import MOST_ROWS, Batcher


class Model:
    def __init__(self):
        self.calls: list[int] = []

    def predict(self, rows):
        self.calls.append(len(rows))
        if any(row < 0 for row in rows):
            raise ValueError("negative")
        return np.array(rows) * 10.0


def batcher(model):
    return Batcher(model.predict, lambda questions: [row for rows in questions for row in rows])


def test_what_waits_is_one_call_and_alone_nobody_waits():
    model = Model()

    async def main():
        asked = batcher(model)
        alone = await asked.ask([1], 1)
        many = await asyncio.gather(*(asked.ask([n, n + 1], 2) for n in range(50)))
        return alone, many

    alone, many = asyncio.run(main())
    assert alone.tolist() == [10.0]
    assert [each.tolist() for each in many] == [[n * 10.0, (n + 1) * 10.0] for n in range(50)]
    assert model.calls == [1, 100]


def test_a_wrong_question_is_wrong_alone():
    model = Model()

    async def main():
        asked = batcher(model)
        return await asyncio.gather(
            asked.ask([1], 1), asked.ask([-1], 1), asked.ask([2], 1), return_exceptions=True
        )

    good, wrong, other = asyncio.run(main())
    assert (good.tolist(), other.tolist()) == ([10.0], [20.0])
    assert isinstance(wrong, ValueError)


def test_a_batch_has_an_end_and_a_caller_may_leave():
    model = Model()

    async def main():
        asked = batcher(model)
        rows = [0] * (MOST_ROWS // 2)
        waiting = [asked.ask(rows, len(rows)) for _ in range(4)]
        waiting[1].cancel()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(done[1], asyncio.CancelledError)
        return [len(each) for each in done if not isinstance(each, BaseException)]

    assert asyncio.run(main()) == [MOST_ROWS // 2] * 3
    assert model.calls == [MOST_ROWS] * 2


@pytest.mark.parametrize("rows", [MOST_ROWS + 1, 3 * MOST_ROWS])
def test_a_large_question_is_asked_whole(rows):
    model = Model()

    async def main():
        return await batcher(model).ask([1] * rows, rows)

    assert len(asyncio.run(main())) == rows
    assert model.calls == [rows]
