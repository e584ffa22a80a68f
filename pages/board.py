"""Board: a class on the projector, with nothing on it to press."""

from app.course import chapters, class_projector

class_projector.board(chapters.chapters())
