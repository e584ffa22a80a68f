"""The Compare page: arms of the link, their curves, the table and the words beside them."""
