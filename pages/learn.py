"""Learn: the contents of the course, or the chapter that the address names."""

from app.course import chapters, contents, link, progress, reading


def main():
    there = chapters.chapters()
    progress.in_browser(there)
    chapter = contents.asked_for(there)
    if chapter is None:
        contents.contents(there)
    else:
        reading.read(chapter, link.current())


main()
