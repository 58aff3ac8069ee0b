"""The tests mirror labkit/; beside that: plugins/, flows/ (whole ways), browser/, rules/."""
