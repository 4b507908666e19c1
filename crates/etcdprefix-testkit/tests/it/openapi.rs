//! The stand-in for the cloud's API turns away what the cloud would: the official SDK signs, and
//! what it signed is then changed, or sent twice.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result};
use etcdprefix_testkit::openapi::{Fault, OpenApi};
use serde_json::{Value, json};

/// Sends a request as it stands and returns the error's code, or `OK`.
fn send(server: &OpenApi, head: &str, headers: &[(String, String)], body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(server.address())?;
    let lines: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\n{lines}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
    let body: Value = serde_json::from_str(body)?;
    Ok(body["Code"].as_str().unwrap_or("OK").to_owned())
}

/// The headers of a call of DescribeInstances, signed by the SDK for a body.
fn signed(server: &OpenApi, body: &str) -> Result<Vec<(String, String)>> {
    let members = json!({"action": "DescribeInstances", "version": "2014-05-26", "body": body});
    let headers = server.sdk("sign", &members)?;
    let headers = headers.as_object().context("no headers")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(headers.iter().map(|(name, value)| (name.clone(), text(value))).collect())
}

const BODY: &str = "RegionId=cn-hangzhou&Tag.1.Key=a%20b";

#[test]
fn what_was_signed_is_taken_once_and_unchanged() -> Result<()> {
    let server = OpenApi::start()?;
    let headers = signed(&server, BODY)?;
    assert_eq!(send(&server, "POST /", &headers, BODY)?, "OK");
    assert_eq!(send(&server, "POST /", &headers, BODY)?, "SignatureNonceUsed");
    let changed = |name: &str, value: &str| -> Result<Vec<(String, String)>> {
        let mut headers = signed(&server, BODY)?;
        let found = headers.iter_mut().find(|(found, _)| found == name).context("not there")?;
        found.1 = value.to_owned();
        Ok(headers)
    };
    for (name, value, code) in [
        ("x-acs-signature-nonce", "another", "SignatureDoesNotMatch"),
        ("x-acs-action", "RunCommand", "SignatureDoesNotMatch"),
        ("x-acs-date", "2020-01-01T00:00:00Z", "InvalidTimeStamp.Expired"),
        ("x-acs-date", "now", "InvalidTimeStamp.Format"),
        ("Authorization", "", "MissingParameter"),
        ("Authorization", "Basic abc", "InvalidSignatureMethod"),
    ] {
        assert_eq!(send(&server, "POST /", &changed(name, value)?, BODY)?, code, "{name}: {value}");
    }
    let other_body = send(&server, "POST /", &signed(&server, BODY)?, "RegionId=cn-beijing")?;
    assert_eq!(other_body, "SignatureDoesNotMatch");
    let other_query = send(&server, "POST /?MaxResults=1", &signed(&server, BODY)?, BODY)?;
    assert_eq!(other_query, "SignatureDoesNotMatch");
    let mut unsigned = signed(&server, BODY)?;
    unsigned.push(("x-acs-security-token".into(), "t0k3n".into()));
    assert_eq!(send(&server, "POST /", &unsigned, BODY)?, "IncompleteSignature");
    Ok(())
}

#[test]
fn calls_that_are_none_and_other_regions_are_refused() -> Result<()> {
    let server = OpenApi::start()?;
    let refused = server.sdk("describe_regions", &json!({}))?;
    assert_eq!(refused["error"], "InvalidAction.NotFound");
    let refused = server.sdk("describe_instances", &json!({"RegionId": "cn-beijing"}))?;
    assert_eq!(refused["error"], "InvalidRegionId.NotFound");
    server.add_machine("i-1")?;
    for (members, code) in [
        (json!({}), "MissingParam.InstanceId"),
        (json!({"InstanceId": ["i-2"], "Type": "RunShellScript"}), "InvalidInstance.NotFound"),
        (
            json!({"InstanceId": ["i-1"], "Type": "RunShellScript", "CommandContent": "true", "Timeout": 9}),
            "InvalidParameter.Timeout",
        ),
        (
            json!({
                "InstanceId": ["i-1"], "Type": "RunShellScript", "CommandContent": "no base64",
                "ContentEncoding": "Base64",
            }),
            "CmdContent.DecodeError",
        ),
    ] {
        assert_eq!(server.sdk("run_command", &members)?["error"], code);
    }
    Ok(())
}

/// A command on three instances, begun by the SDK; its invocation's id.
fn begin(server: &OpenApi, content: &str) -> Result<String> {
    let ids = ["i-1", "i-2", "i-3"];
    let members = json!({"InstanceId": ids, "Type": "RunShellScript", "CommandContent": content});
    let begun = server.sdk("run_command", &members)?;
    Ok(begun["ok"]["InvokeId"].as_str().context("it was begun")?.to_owned())
}

#[test]
fn invocations_and_their_results_come_in_pages() -> Result<()> {
    let server = OpenApi::start()?;
    for instance in ["i-1", "i-2", "i-3"] {
        server.add_machine(instance)?;
    }
    server.set("i-3", "agent", false)?;
    server.fault("RunCommand", Fault::Late(0.2), 1)?;
    let id = begin(&server, "echo one")?;
    begin(&server, "echo two")?;

    let results = |more: Value| -> Result<Value> {
        let mut members = json!({"InvokeId": id, "ContentEncoding": "PlainText"});
        for (name, value) in more.as_object().into_iter().flatten() {
            members[name] = value.clone();
        }
        Ok(server.sdk("describe_invocation_results", &members)?["ok"]["Invocation"].take())
    };
    let instances = |page: &Value| -> Vec<String> {
        let found = page["InvocationResults"]["InvocationResult"].as_array().into_iter().flatten();
        found.filter_map(|it| Some(it["InstanceId"].as_str()?.to_owned())).collect()
    };
    let numbered = results(json!({"PageSize": 2, "PageNumber": 2}))?;
    assert_eq!((instances(&numbered), &numbered["TotalCount"]), (vec!["i-3".into()], &3.into()));
    let first = results(json!({"MaxResults": 2}))?;
    assert_eq!(instances(&first), ["i-1", "i-2"]);
    let second = results(json!({"MaxResults": 2, "NextToken": first["NextToken"]}))?;
    assert_eq!(instances(&second), ["i-3"]);
    let offline = &second["InvocationResults"]["InvocationResult"][0];
    assert_eq!(offline["ErrorCode"], "ClientNotRunning");
    assert_eq!(offline["InvokeRecordStatus"], "Failed");

    let all = server.sdk("describe_invocations", &json!({"MaxResults": 1}))?;
    assert_eq!(all["ok"]["Invocations"]["Invocation"].as_array().map(Vec::len), Some(1));
    assert_eq!(all["ok"]["TotalCount"], 2);
    let assistants = json!({"InstanceId": ["i-1", "i-3"]});
    let assistants = server.sdk("describe_cloud_assistant_status", &assistants)?;
    let states =
        &assistants["ok"]["InstanceCloudAssistantStatusSet"]["InstanceCloudAssistantStatus"];
    assert_eq!(
        (&states[0]["CloudAssistantStatus"], &states[1]["CloudAssistantStatus"]),
        (&"true".into(), &"false".into())
    );
    Ok(())
}
