"""The README's first example runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "adapters" / "README.md"


def test_the_first_example_prints_the_echo() -> None:
    example = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)[0]
    printed = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=True, timeout=30
    ).stdout.splitlines()
    assert printed[1] == "OutputTranscript(response_id='resp_1', item_id='item_resp_1', text='hello')"
    assert len(printed) == 3
