failed_checks=$(cat <<'END_OF_VALUE'
{{ failedChecks }}
END_OF_VALUE
)
@STORE@
code=0
"$program" node preflight --store "oss://$bucket/" --store-endpoint "$endpoint" --region "$region" || code=$?
if [ "$code" = 31 ] && [ "$failed_checks" = report ]; then
    echo 'checks failed; going on, as failedChecks says' >&2
    exit 0
fi
exit "$code"
