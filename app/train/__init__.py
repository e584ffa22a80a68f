"""The Train page: the settings form, the job it shows, its controls and words."""
