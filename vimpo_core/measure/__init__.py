"""What credit and accuracy are measured against: values found by trying, scorecards, checks, branches, runs side by
side.
"""
