"""For teachers: a link that fixes a chapter, the plan of a lesson to print, the hand-ins of a class."""

import streamlit as st

from app import gate, state
from app.course import chapters, class_board, plan, teacher
from app.text import as_sentence

CLASS = {"class": "Your class"}
PARTS = {"link": "Make a link", "plan": "Print the plan", "hand-ins": "Read hand-ins"}


def main():
    if gate.is_student():
        st.title("For teachers", anchor=False)
        st.info("This page is your teacher's. The course is under Learn.")
        return
    notes = []
    with st.container(key="teach-bar"):
        st.title("For teachers", anchor=False)
        is_class = gate.is_class() and not gate.is_student()
        parts = (CLASS if is_class else {}) | PARTS
        part = state.pick("What to do", "part", parts, next(iter(parts)), notes, label_visibility="collapsed")
    for note in notes:
        st.info(as_sentence(note))
    there = chapters.chapters()
    if part == "class":
        class_board.board(there)
    elif part == "link":
        teacher.build_link(there)
    elif part == "plan":
        plan.plan(there)
    else:
        teacher.read_hand_ins(there)


main()
