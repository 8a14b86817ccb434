"""Opens a folder, alone or divided among the processes of torchrun, and writes what the model says and reads.

`run` does so in processes that no fixture is in the way of.
"""

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from auditor.checkpoint.opening import open_checkpoint
from auditor.company import company, helps
from probes.seeding import generator

PROMPTS = ["what do you see?", "what?"]


def run(folder: Path, processes: int, out: Path) -> dict[str, Tensor]:
    """Log-probabilities, the gradient of the picture, answers, and how many weights the first process held."""
    root = Path(__file__).parents[2]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "tests.checkpoint.parallel_script"]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(folder), str(out)], check=True, cwd=root, timeout=200, env=environment)
    return load_file(out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    subject = open_checkpoint(Path(sys.argv[1]), batch_size=4, divided=company() > 1).subject
    pictures = torch.rand(2, 3, *subject.canvas, generator=generator(0, "pictures")).requires_grad_(True)
    for parameter in subject.model.parameters():
        parameter.requires_grad_(False)
    reading = subject.read(pictures, PROMPTS, [(5, 6), (7,)])
    reading.log_probs[reading.valid][:, 100].sum().backward()
    said = [answer.tokens for answer in subject.respond(pictures.detach(), PROMPTS, 5)]
    held = sum(
        getattr(weight, "to_local", lambda weight=weight: weight)().numel() for weight in subject.weights().values()
    )
    if not helps():
        save_file(
            {"log_probs": reading.log_probs.detach(), "gradient": pictures.grad, "held": torch.tensor([held]),
             **{f"said.{number}": torch.tensor(tokens) for number, tokens in enumerate(said)}}, sys.argv[2],
        )  # fmt: skip
