"""What the interpreter does with templates in the form of the service's own examples: prints JSON."""

import json
import sys
import threading

sys.path.insert(0, sys.argv[1])
import oos_engine  # noqa: E402

TEMPLATE = """
FormatVersion: OOS-2019-06-01
Description: {en: three tasks, zh-cn: three}
Parameters:
  regionId: {Type: String, Default: '{{ ACS::RegionId }}'}
  targets: {Type: Json, AssociationProperty: Targets}
  rateControl:
    Type: Json
    Default: {Mode: Concurrency, MaxErrors: 0, Concurrency: 5}
  word: {Type: String, AllowedPattern: '^[a-z]+$', MaxLength: 4}
RamRole: ''
Tasks:
  - Name: getInstance
    Action: ACS::SelectTargets
    Properties:
      ResourceType: ALIYUN::ECS::Instance
      RegionId: '{{ regionId }}'
      Filters:
        - '{{ targets }}'
    Outputs:
      instanceIds: {Type: List, ValueSelector: 'Instances.Instance[].InstanceId'}
  - Action: ACS::ECS::RunCommand
    OnError: undo
    Properties:
      regionId: '{{ regionId }}'
      commandContent: |-
        ask {{word}} {{ACS::TaskLoopItem}} in {{ regionId }}
      instanceId: '{{ ACS::TaskLoopItem }}'
      commandType: RunShellScript
      timeout: 60
    Loop:
      Items: '{{ getInstance.instanceIds }}'
      RateControl: '{{ rateControl }}'
      Outputs:
        answers: {AggregateType: 'Fn::ListJoin', AggregateField: answer}
    Outputs:
      answer: {ValueSelector: invocationOutput, Type: String}
    Name: ask
  - Action: ACS::ECS::RunCommand
    OnSuccess: ACS::END
    Properties:
      commandContent: 'of {{ ask.answers }}'
      instanceId: '{{ ACS::TaskLoopItem }}'
      commandType: RunShellScript
    Loop:
      Items:
        'Fn::Intersection':
          - '{{ getInstance.instanceIds }}'
          - '{{ ask.answers }}'
      Outputs:
        answers: {AggregateType: 'Fn::ListJoin', AggregateField: answer}
    Outputs:
      answer: {ValueSelector: invocationOutput, Type: String}
    Name: chosen
  - Action: ACS::ECS::RunCommand
    Properties: {commandContent: undo, instanceId: i-1, commandType: RunShellScript}
    Name: undo
Outputs:
  asked: {Type: List, Value: '{{ ask.answers }}'}
  chosen: {Type: List, Value: '{{ chosen.answers }}'}
"""


class Ecs:
    def __init__(self, answer):
        self.answer, self.calls, self.most, self.now, self.lock = answer, [], 0, 0, threading.Lock()

    def select(self, targets):
        return targets["ResourceIds"]

    def run_command(self, instance, content, timeout, folder):
        with self.lock:
            self.calls.append(content)
            self.now += 1
            self.most = max(self.most, self.now)
        code, text = self.answer(instance, content)
        with self.lock:
            self.now -= 1
        return {"status": "Success" if code == 0 else "Failed", "exit_code": code, "output": text}


def run(answer, **parameters):
    given = {"targets": {"Type": "ResourceIds", "ResourceIds": ["i-1", "i-2", "i-3"]}, "word": "who", **parameters}
    ecs = Ecs(answer)
    execution = oos_engine.Execution(TEMPLATE, given, ecs, "cn-hangzhou")
    execution.start()
    execution.wait()
    ran = [f"{task['TaskName']} {task['Status']}" for task in execution.tasks]
    return {
        "status": execution.status, "ran": ran, "outputs": execution.outputs, "counters": execution.counters,
        "calls": sorted(ecs.calls), "most": ecs.most,
    }


def refused(**parameters):
    try:
        run(lambda *_: (0, ""), **parameters)
    except oos_engine.TemplateError as error:
        return error.code


def two_of_three(instance, _):
    return (1, "no") if instance == "i-2" else (0, instance)


rate = {"Mode": "Concurrency", "MaxErrors": "34%", "Concurrency": 1}
print(json.dumps({
    "chosen": run(lambda instance, content: (0, "i-2" if content.startswith("ask") and instance == "i-3" else "")),
    "nobody": run(lambda *_: (0, "")),
    "failed": run(lambda instance, content: (9, "no") if content.startswith("ask") else (0, "")),
    "borne": run(two_of_three, rateControl=rate),
    "too_many": run(two_of_three, rateControl={**rate, "MaxErrors": 0}),
    "refused": [refused(word="UPPER"), refused(word="abcde"), refused(word=7), refused(other=""), refused(targets="")],
}))
