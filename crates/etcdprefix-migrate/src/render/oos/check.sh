#!/bin/sh
echo 'there are targets'
