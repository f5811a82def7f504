from thrive.domain.run import CodeRecord, RunState
from thrive.tracking.recorder import Beginning, start_run
from thrive.tracking.why import why


def recorded(context, order, **tags):
    """Record a run of one fan-out whose rows came in some order; "" as source: executed."""
    recorder = start_run(
        context,
        Beginning(
            experiment="squares",
            name="squares",
            pipeline="squares",
            params={},
            seed=0,
            code=CodeRecord(entry="train.py", bundle="b" * 64),
            environment={},
            tags=tags,
        ),
    )
    for index, source in order:
        arguments = {"arguments": {"n": str(index)}}
        step = recorder.begin_step("square", index, index=index, key=f"k{index}", inputs=arguments)
        recorder.end_step(step, RunState.DONE, source=source)
    return recorder.finish(RunState.DONE).run_id


def test_a_row_of_a_fan_out_is_compared_with_the_same_row_whatever_the_order(context):
    first = recorded(context, [(0, ""), (1, ""), (2, "")])
    again = recorded(context, [(1, f"{first}/2"), (2, f"{first}/3"), (0, "")])
    found = {each.step: each.why for each in why(context, again)}
    assert found == {"square[0]": "asked", "square[1]": "cached", "square[2]": "cached"}


def test_a_repetition_is_compared_with_what_it_repeats_and_says_so(context):
    first = recorded(context, [(0, ""), (1, "")])
    recorded(context, [(5, ""), (6, "")])
    again = recorded(context, [(0, ""), (1, "")], reproduces=first)
    found = why(context, again)
    assert [each.why for each in found] == ["asked", "asked"]
    assert all(f"it repeats run {first}" in each.name for each in found)
