"""Look-ups of thousands of paths: in a few requests at a time, all of one commit."""

from __future__ import annotations

from support.faults import world

PATHS_INFO = r"POST /api/models/.*/paths-info/"


async def test_all_parts_of_a_look_up_are_of_the_commit_that_the_first_one_told() -> None:
    async with world() as it:
        hub = it.client.hub
        head = await hub.branch_head(it.repo, "main")
        paths = [f"{number}.bin" for number in range(2000)]
        page = await hub.paths_info(it.repo, "main", paths)
        assert page.commit == head
        assert page.entries == []
        assert it.proxy.count(PATHS_INFO + head) == 3
        assert it.proxy.count(PATHS_INFO + "main") == 1
        assert (await hub.paths_info(it.repo, "main", [])).entries == []
        assert it.proxy.count(PATHS_INFO) == 4
