"""The course: the toolkit that chapters are made of, what a reader answered, and the teacher's tools."""
