#!/bin/sh
echo 'this execution failed; what was undone is in the tasks unpublish and rollback, or withdraw and wake' >&2
exit 1
