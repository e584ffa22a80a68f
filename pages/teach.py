"""For teachers: a link that fixes a chapter, the plan of a lesson to print, the hand-ins of a class."""

import streamlit as st

from app import state
from app.course import chapters, plan, teacher
from app.text import as_sentence

PARTS = {"link": "Make a link", "plan": "Print the plan", "hand-ins": "Read hand-ins"}


def main():
    notes = []
    with st.container(key="teach-bar"):
        st.title("For teachers", anchor=False)
        part = state.pick("What to do", "part", PARTS, "link", notes, label_visibility="collapsed")
    for note in notes:
        st.info(as_sentence(note))
    there = chapters.chapters()
    if part == "link":
        teacher.build_link(there)
    elif part == "plan":
        plan.plan(there)
    else:
        teacher.read_hand_ins(there)


main()
