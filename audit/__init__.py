"""The auditor: many images, some policies, misclassification rates by group.

It will read the scores and decisions of `moderation.classifier` and `moderation.verdict`, never a
copy of them, and know nothing of the queue. Only the name is taken so far: it has no command yet.
"""
