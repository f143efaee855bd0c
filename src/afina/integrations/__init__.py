"""Which tools do people already have open? A search in each of them.

    folder, tuner or study ──> searches.py: read ──> tensorboard.py  HParams
                                                ├──> mlflow.py       nested runs
                                                ├──> wandb.py        one run a trial
                                                └──> mcp.py          a read-only server
    a running search ──> MLflowListener, WandbListener, TensorBoardListener: `listeners=`
    trial ──> lightning.py   reports the epochs of a Lightning training

Each file needs one package, which it imports when it is called. Writing again adds what is new, so
that a search may still be running.
"""

from afina.integrations.lightning import lightning_callback
from afina.integrations.mlflow import MLflowListener, log_to_mlflow
from afina.integrations.tensorboard import TensorBoardListener, write_hparams
from afina.integrations.wandb import WandbListener, log_to_wandb

__all__ = [
    "MLflowListener",
    "TensorBoardListener",
    "WandbListener",
    "lightning_callback",
    "log_to_mlflow",
    "log_to_wandb",
    "write_hparams",
]
