"""Learn: the contents of the course, or the chapter that the address names."""

from app.components.page_top import page_top
from app.course import chapters, contents, link, progress, reading


def main():
    there = chapters.chapters()
    progress.in_browser(there)
    chapter = contents.asked_for(there)
    page_top("contents" if chapter is None else chapter.key)
    if chapter is None:
        contents.contents(there)
    else:
        reading.read(chapter, link.current())


main()
