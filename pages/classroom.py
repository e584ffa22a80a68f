"""Class: what a student is called, what the teacher pinned, where one's run stands in the queue."""

import streamlit as st

from app import gate, routes
from app.course import class_place


def main():
    if gate.is_student():
        class_place.place()
        return
    st.title("Class", anchor=False)
    st.markdown("Here your students see what they are called, what you pinned, and their place in the queue.")
    st.page_link(routes.TEACH, label="Your board", icon=":material/groups:")


main()
