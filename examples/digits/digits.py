"""Handwritten digits: train a small neural network, then ask it about digits that it hasn't seen.

``train`` yields one chunk an epoch and keeps the model in the session; ``evaluate`` and
``predict``, later calls of the same session, use it. The pictures are the 1,797 real ones that
scikit-learn ships.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from snakepit import Adapter, Context, tool

SESSIONS = 16  # models kept at once; the one longest unused goes first
LABELS = list(range(10))

Epochs = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Pixel = Annotated[float, msgspec.Meta(ge=0, le=16)]
Image = Annotated[list[Pixel], msgspec.Meta(min_length=64, max_length=64)]


@dataclass
class Progress:
    """How far the training has come."""

    epoch: int
    epochs: int
    loss: float
    train_accuracy: float


@dataclass
class Evaluation:
    """How well a model does on the digits that it wasn't trained on."""

    accuracy: float
    images: int
    labels: list[int]
    matrix: list[list[int]]  # a row for each true digit, a column for each predicted one
    picture: str | None  # where the host drew the matrix; None: it offers no such tool


class Digits(Adapter):
    """Trains on three quarters of the digits and is asked about the rest."""

    def setup(self) -> None:
        """Load the digits, once a worker."""
        images, digits = load_digits(return_X_y=True)
        self.train_x, self.test_x, self.train_y, self.test_y = train_test_split(
            images / 16, digits, test_size=0.25, random_state=0, stratify=digits
        )
        self.models: OrderedDict[str, MLPClassifier] = OrderedDict()

    @tool
    def train(self, ctx: Context, epochs: Epochs = 20, seed: int = 0) -> Iterator[Progress]:
        """Train a model for this session, one chunk an epoch."""
        model = MLPClassifier(
            hidden_layer_sizes=(64,), batch_size=32, learning_rate_init=0.005, random_state=seed
        )
        rng = np.random.default_rng(seed)
        for epoch in range(1, epochs + 1):
            order = rng.permutation(len(self.train_x))
            model.partial_fit(self.train_x[order], self.train_y[order], classes=LABELS)
            seen = float(model.score(self.train_x, self.train_y))
            yield Progress(epoch, epochs, round(float(model.loss_), 4), round(seen, 4))
        self._keep(ctx, model)

    @tool(idempotent=True)
    def evaluate(self, ctx: Context) -> Evaluation:
        """Predict the held-out digits with this session's model and count what it gets right."""
        predicted = self._model(ctx).predict(self.test_x)
        accuracy = round(float((predicted == self.test_y).mean()), 4)
        matrix: list[list[int]] = confusion_matrix(self.test_y, predicted, labels=LABELS).tolist()
        return Evaluation(
            accuracy=accuracy,
            images=len(self.test_y),
            labels=LABELS,
            matrix=matrix,
            picture=self._draw(ctx, accuracy, matrix),
        )

    @tool(idempotent=True)
    def predict(self, ctx: Context, images: list[Image]) -> list[int]:
        """Predict digits, each given as 64 grey levels from 0 to 16, row by row."""
        predicted: list[int] = self._model(ctx).predict(np.array(images) / 16).tolist()
        return predicted

    def _draw(self, ctx: Context, accuracy: float, matrix: list[list[int]]) -> str | None:
        if "draw_matrix" not in ctx.host.tools():
            return None
        title = f"{accuracy:.1%} of {len(self.test_y)} digits right"
        picture: str = ctx.host.draw_matrix(title=title, labels=LABELS, matrix=matrix)
        return picture

    def _keep(self, ctx: Context, model: MLPClassifier) -> None:
        if ctx.session is None:
            return
        self.models[ctx.session.id] = model
        self.models.move_to_end(ctx.session.id)
        while len(self.models) > SESSIONS:
            self.models.popitem(last=False)

    def _model(self, ctx: Context) -> MLPClassifier:
        if ctx.session is None:
            raise ValueError("name a session: the model is kept in it")
        model = self.models.get(ctx.session.id)
        if model is None:
            message = f"session {ctx.session.id} has no model yet: call train in it first"
            raise LookupError(message)
        self.models.move_to_end(ctx.session.id)
        return model
