"""Files that other tools wrote, read into runs of this lab: one small file a format (`FORMATS` in `recognise` lists
them), each yielding `rows.Row`, and nothing after that knows a format by name.
"""
