"""Language models: what a folder holds, load, sample, score, and the traces of what was scored. Imports torch but for
`model_files`.
"""
