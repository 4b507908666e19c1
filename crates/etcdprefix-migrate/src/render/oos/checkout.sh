@ONE_LEADER@
@STORE@
"$program" node snapshot --cluster-id "$cluster" --run "$run" --require-leader \
    --store "oss://$bucket/" --store-endpoint "$endpoint" --region "$region"
echo "the snapshot is from $instance"
