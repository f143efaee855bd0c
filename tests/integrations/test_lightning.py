"""The callback for PyTorch Lightning, and a plain PyTorch loop, with the real packages."""

import pytest

import afina
from afina.errors import ArgumentError, ObjectiveError
from afina.integrations import lightning_callback
from afina.search import Random
from afina.trials import Decision, Trial

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("default")


def build(hp):
    hp.Float("rate", 1e-3, 0.1, sampling="log")


def data():
    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1)), batch_size=8)


def study(**kwargs):
    given = {"objective": afina.Objective("val_loss", "min"), "algorithm": Random(), "seed": 0}
    return afina.Study(build, **{**given, **kwargs})


class Halving(Random):
    def stop_early(self, state, trial, curve):
        return Decision.STOP if len(curve) == 2 else Decision.CONTINUE


def test_a_plain_loop_reports_its_epochs_and_is_stopped():
    def train(trial):
        model = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=trial.values["rate"])
        for epoch in range(5):
            for x, y in data():
                loss = ((model(x)[:, 0] - y) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            trial.report(float(loss), epoch)
            if trial.should_prune():
                return

    run = study(algorithm=Halving())
    run.optimize(train, n_trials=2)
    assert [len(run.history(number)) for number in run.trials] == [2, 2]


@pytest.mark.parametrize("stops", [False, True])
def test_lightning_reports_each_validation_and_is_stopped(stops, tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")

    class Net(lightning.LightningModule):
        def __init__(self, rate):
            super().__init__()
            self.layer, self.rate = torch.nn.Linear(2, 1), rate

        def loss(self, batch):
            return ((self.layer(batch[0])[:, 0] - batch[1]) ** 2).mean()

        def training_step(self, batch, index):
            return self.loss(batch)

        def validation_step(self, batch, index):
            self.log("valid", self.loss(batch))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=self.rate)

    def train(trial, monitor="valid"):
        trainer = lightning.Trainer(
            max_epochs=3,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            callbacks=[lightning_callback(trial, monitor=monitor)],
        )
        trainer.fit(Net(trial.params["rate"]), data(), data())

    run = study(algorithm=Halving() if stops else Random())
    run.optimize(train, n_trials=2)
    for number, trial in run.trials.items():
        steps = [report.step for report in run.history(number)]
        assert steps == ([0, 1] if stops else [0, 1, 2])
        assert trial.score == min(report.metrics["val_loss"] for report in run.history(number))
    with pytest.raises(ObjectiveError, match=r"must be logged with self\.log"):
        train(run.ask(), monitor="nothing")


def test_a_trial_of_nobody_is_refused():
    with pytest.raises(ArgumentError, match="must be the trial that a Study handed out"):
        lightning_callback(Trial(number=0, values={}))
