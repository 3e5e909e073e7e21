"""What comes of a fill: `original | masked | filled | difference`, other samples, words, and the zip to keep."""

import base64
from collections.abc import Callable, Sequence

import ipywidgets as w

from nbsupport.demo import pictures, saving, text
from nbsupport.demo.pictures import BLANK, GAIN, WIDTH, png
from nbsupport.demo.state import ARMS, Filled, Session, Verdict

_ROW = {"flex_flow": "row wrap"}
_VIEWS = ("original", "masked", "filled", "difference")
MOST_SAMPLES = 6


class Results(w.VBox):
    """Show fills of one hole; one of them is the chosen one.

    Args:
        session: what judges. on_choice: called when another fill or arm is shown. guard: runs a reaction.
    """

    def __init__(
        self, session: Session, on_choice: Callable[[], None], guard: Callable[[Callable[[], None]], None]
    ) -> None:
        self.session, self._on_choice, self._guard = session, on_choice, guard
        self.fills: list[Filled] = []
        self.number = self.made = 0
        self.judged: tuple[Verdict, Verdict] | None = None
        self._build()
        titles = {"difference": f"difference × {GAIN}"}
        columns = [w.VBox([w.HTML(titles.get(name, name)), view]) for name, view in self.pictures.items()]
        left = w.VBox([self.verdict, self.save], layout=w.Layout(min_width="300px", margin="0 24px 0 0"))
        super().__init__(
            [self.status, w.HBox(columns, layout=w.Layout(**_ROW)), self.caption, self.arm, self.others,
             w.HBox([left, w.VBox([self.words])], layout=w.Layout(**_ROW))]
        )  # fmt: skip

    def _build(self) -> None:
        self.status, self.verdict, self.words, self.save = w.HTML(), w.HTML(), w.HTML(), w.HTML()
        self.caption = w.HTML()
        self.pictures = {name: w.Image(format="png", value=png(BLANK), width=WIDTH) for name in _VIEWS}
        self.arm = w.ToggleButtons(
            options=ARMS, description="show", style={"button_width": "120px", "description_width": "48px"},
            tooltips=["the painted hole in the untouched photograph", "the inpainter's whole output"],
        )  # fmt: skip
        self.arm.observe(lambda _: self._guard(self.refresh), "value")
        self.choices = [w.Image(format="png", value=png(BLANK), width=96) for _ in range(MOST_SAMPLES)]
        self.pick = [w.Button(layout={"width": "96px"}) for _ in range(MOST_SAMPLES)]
        for number, button in enumerate(self.pick):
            button.on_click(lambda _, number=number: self._guard(lambda: self.choose(number)))
        boxes = [w.VBox([image, button]) for image, button in zip(self.choices, self.pick, strict=True)]
        self.others = w.HBox(boxes, layout=w.Layout(display="none", **_ROW))
        for name, widget in {"status": self.status, "verdict": self.verdict, "words-kept": self.words,
                             "save": self.save, "arm": self.arm, "others": self.others, "said": self.caption,
                             **self.pictures}.items():  # fmt: skip
            widget.add_class(f"inpaint-{name}")

    @property
    def chosen(self) -> Filled | None:
        """The fill that is shown, None before the first."""
        return self.fills[self.number] if self.fills else None

    @property
    def output(self):
        """The shown picture, (H, W, 3) uint8; None before the first fill."""
        return self.chosen.output(self.arm.value) if self.fills else None

    def show(self, fills: Sequence[Filled]) -> None:
        """Show these fills, the first as the chosen one."""
        self.fills, self.number = list(fills), 0
        self.made += 1  # shown, so that a reader sees that a second press of Fill did something
        for number, (image, box) in enumerate(zip(self.choices, self.others.children, strict=True)):
            box.layout.display = None if number < len(fills) else "none"
            if number < len(fills):
                image.value = png(fills[number].spliced, 96)
                self.pick[number].description = f"seed {fills[number].seed}"
        self.others.layout.display = None if len(fills) > 1 else "none"
        self.words.value = text.attention(self.session.attention(fills[0]))
        self.refresh()

    def choose(self, number: int) -> None:
        """Show another of the fills."""
        self.number = number
        self.refresh()

    def refresh(self) -> None:
        """Show the chosen fill in the chosen arm, ask the detectors, make the zip."""
        filled = self.chosen
        if filled is None:
            return
        picture = self.output
        for number, button in enumerate(self.pick):
            button.button_style = "info" if number == self.number else ""
        self.pictures["filled"].value = png(picture)
        self.pictures["difference"].value = png(pictures.difference(filled.original, picture))
        self.status.value = text.filled(filled, self.arm.value, self.made)
        self.caption.value = text.caption(filled.caption)
        self.judged = self.session.verdict(picture), self.session.verdict(filled.original)
        self.verdict.value = text.verdict(*self.judged)
        verdicts = {self.arm.value: self.judged[0], "original": self.judged[1]}
        data = base64.b64encode(saving.archive(self.session, filled, verdicts)).decode()
        self.save.value = text.download(
            "save pictures, mask and record (zip)", "inpainted.zip", "application/zip", data
        )
        self._on_choice()

    def before(self, image, hole) -> None:
        """Show the picture and its hole before there is a fill: (H, W, 3) uint8, (H, W) bool."""
        self.pictures["original"].value = png(image)
        self.pictures["masked"].value = png(pictures.hide(image, hole))

    def forget(self) -> None:
        """A fill that no longer belongs to what is chosen must not stay on the page."""
        if self.fills or self.judged:
            self.fills, self.judged = [], None
            for name in ("filled", "difference"):
                self.pictures[name].value = png(BLANK)
            self.status.value = text.note("Press Fill.")
            self.verdict.value = self.words.value = self.save.value = self.caption.value = ""
            self.others.layout.display = "none"
            self._on_choice()
