"""Leases in virtual time: who is heard stays, who is silent is asked, who does not answer is gone."""

import asyncio
from dataclasses import dataclass, field

from agentfield_rt.plane.executions.dispatch import Dispatch, Outcome
from agentfield_rt.plane.nodes import Lifecycle, Node, Nodes
from agentfield_rt.plane.nodes.health import LEASE_S, POLL_EVERY_S, POLLS_MAX, Health
from tests.virtual_time import in_virtual_time, time_passes


class NoDispatcher:
    remote = True

    async def dispatch(self, work: Dispatch) -> Outcome | None: ...

    async def cancel(self, execution_id: str) -> None: ...


@dataclass
class Ward:
    """Nodes whose agents answer, or not, as a test says."""

    there: set[str] = field(default_factory=set[str])
    asked: list[str] = field(default_factory=list[str])
    told: list[str] = field(default_factory=list[str])
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.nodes = Nodes()
        self.health = Health(self.nodes, self.is_running)
        self.nodes.listen(self.told.append)

    async def is_running(self, node: Node) -> bool:
        self.asked.append(node.node_id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await time_passes(1.0)
        self.at_once -= 1
        return node.node_id in self.there

    def lifecycle(self, node_id: str = "worker") -> Lifecycle:
        return self.nodes.get(node_id).lifecycle

    def add(self, lifecycle: Lifecycle = Lifecycle.STARTING, node_id: str = "worker") -> None:
        self.nodes.replace(
            Node(
                node_id=node_id,
                version="1",
                instance_id="",
                base_url="http://127.0.0.1:9",
                capabilities={},
                sessions={},
                dispatcher=NoDispatcher(),
                handlers=None,
                lifecycle=lifecycle,
            )
        )


@in_virtual_time
async def test_heartbeats_keep_a_node_and_nobody_is_asked() -> None:
    ward = Ward()
    ward.add()
    for _ in range(100):
        ward.health.heard("worker", Lifecycle.READY)
        await time_passes(2.0)
    assert (ward.lifecycle(), ward.asked) == (Lifecycle.READY, [])
    assert ward.told == ["worker", "worker"], "added, and ready: what does not change is not told"
    await ward.health.close()


@in_virtual_time
async def test_who_is_silent_is_asked_and_stays_if_it_answers() -> None:
    ward = Ward(there={"worker"})
    ward.add()
    ward.health.heard("worker", Lifecycle.DEGRADED)
    await time_passes(3 * LEASE_S)
    assert ward.asked == ["worker", "worker"]
    assert ward.lifecycle() is Lifecycle.DEGRADED
    await ward.health.close()


@in_virtual_time
async def test_who_does_not_answer_is_gone_and_asked_again_until_it_is_back() -> None:
    ward = Ward()
    ward.add()
    ward.health.heard("worker", Lifecycle.READY)
    await time_passes(LEASE_S + 0.5)
    assert ward.lifecycle() is Lifecycle.READY, "it has a second left to answer"
    await time_passes(1.0)
    assert ward.lifecycle() is Lifecycle.OFFLINE
    ward.there.add("worker")
    await time_passes(POLL_EVERY_S + 1.0)
    assert ward.lifecycle() is Lifecycle.READY
    await ward.health.close()


@in_virtual_time
async def test_a_heartbeat_counts_for_more_than_an_answer_that_does_not_come() -> None:
    ward = Ward()
    ward.add(Lifecycle.READY)
    ward.health.expect("worker")
    await time_passes(0.5)
    ward.health.heard("worker", Lifecycle.READY)
    await time_passes(1.0)
    assert ward.lifecycle() is Lifecycle.READY
    await ward.health.close()


@in_virtual_time
async def test_who_could_not_be_reached_and_answers_is_told_of_at_once() -> None:
    ward = Ward(there={"worker"})
    ward.add()
    ward.health.heard("worker", Lifecycle.READY)
    ward.told.clear()
    ward.health.suspect("worker")
    ward.health.suspect("worker")
    await time_passes(1.5)
    assert (ward.asked, ward.told) == (["worker"], ["worker"])
    await ward.health.close()


@in_virtual_time
async def test_who_asked_for_a_longer_lease_and_cannot_be_reached_is_gone_before_it_ends() -> None:
    ward = Ward()
    ward.add()
    ward.health.heard("worker", Lifecycle.READY, lease_s=300.0)
    ward.health.suspect("worker")
    await time_passes(1.5)
    assert ward.lifecycle() is Lifecycle.OFFLINE
    ward.there.add("worker")
    await time_passes(POLL_EVERY_S + 1.0)
    assert ward.lifecycle() is Lifecycle.READY
    await ward.health.close()


@in_virtual_time
async def test_who_said_that_it_goes_is_not_asked_and_is_back_when_it_says_so() -> None:
    ward = Ward(there={"worker"})
    ward.add()
    ward.health.heard("worker", Lifecycle.READY)
    ward.health.left("worker")
    await time_passes(10 * LEASE_S)
    assert (ward.lifecycle(), ward.asked) == (Lifecycle.OFFLINE, [])
    ward.health.heard("worker", Lifecycle.STARTING)
    assert ward.lifecycle() is Lifecycle.STARTING
    await ward.health.close()


@in_virtual_time
async def test_who_goes_while_it_is_asked_and_is_asked_again_is_still_forgotten_for_good() -> None:
    ward, broken = Ward(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context))
    ward.add()
    ward.health.heard("worker", Lifecycle.READY)
    ward.health.suspect("worker")
    await time_passes(0.5)
    ward.health.left("worker")
    ward.health.suspect("worker")
    await time_passes(0.5)
    ward.health.forget("worker")
    await time_passes(2 * POLL_EVERY_S)
    assert (ward.asked, broken) == (["worker"] * 2, [])


@in_virtual_time
async def test_a_node_that_waits_for_an_approval_stays_so_whatever_is_heard() -> None:
    ward = Ward(there={"worker"})
    ward.add(Lifecycle.PENDING_APPROVAL)
    ward.health.heard("worker", Lifecycle.READY)
    await time_passes(2 * LEASE_S)
    assert ward.lifecycle() is Lifecycle.PENDING_APPROVAL
    await ward.health.close()


@in_virtual_time
async def test_a_thousand_nodes_of_an_earlier_process_are_asked_a_few_at_a_time() -> None:
    ward = Ward(there={str(number) for number in range(1_000)})
    for number in range(1_000):
        ward.add(Lifecycle.OFFLINE, str(number))
        ward.health.expect(str(number))
    await time_passes(1_000 / POLLS_MAX + 2.0)
    assert all(node.lifecycle is Lifecycle.READY for node in ward.nodes)
    assert ward.most_at_once == POLLS_MAX
    await ward.health.close()


@in_virtual_time
async def test_who_is_forgotten_is_asked_no_more_and_the_end_waits_for_nobody() -> None:
    ward = Ward()
    ward.add()
    ward.add(node_id="other")
    ward.health.expect("worker")
    ward.health.expect("other")
    ward.nodes.remove("worker")
    ward.health.forget("worker")
    await asyncio.sleep(0)
    await ward.health.close()
    ward.health.heard("other", Lifecycle.READY)
    ward.health.suspect("nobody")
    await time_passes(10 * LEASE_S)
    assert ward.lifecycle("other") is Lifecycle.READY
