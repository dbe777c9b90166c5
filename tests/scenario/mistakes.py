# ruff: noqa: E501 - messages are kept whole, as the user reads them
"""A sound scenario file, and what each mistake in it is reported as."""

SOUND = """\
schema_version: 1
id: sound
title: A sound scenario
why: It catches nothing.
program: vcpu_scheduler
host: {pcpus: 4, memory_mib: 8192}
guests:
  - name: web
    vcpus: 2
    memory_mib: 1024
    max_memory_mib: 2048
    start_on: [0, [1, 2]]
    load: {duty: 0.25, period_ms: 0.5}
  - names: [db, mail]
    memory_mib: 512
  - name: spare
    memory_mib: 512
    running: false
events:
  - {at_s: 5, guest: db, start_load: {rate_mib_s: 16, until_mib: 200}}
  - {at_s: 9, guests: [web, db], set_memory_mib: 400}
  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}
run: {duration_s: 60, interval_s: 2}
criteria:
  - {name: host-alive}
  - {name: stable, limits: {settle_intervals: 5}}
"""

# What is replaced, by what, and the lines that the user reads.
MISTAKES: list[tuple[str, str, list[str]]] = [
    (
        "schema_version: 1",
        "schema_version: 2",
        [
            "s.yaml:1: schema_version: form 2 is newer than this virtlab, which reads form 1.",
            "  fix: install a newer virtlab.",
        ],
    ),
    (
        "schema_version: 1",
        "schema_version: one",
        [
            "s.yaml:1: schema_version: form one is not known.",
            "  fix: write schema_version: 1.",
        ],
    ),
    (
        "id: sound",
        "id: Sound One",
        [
            's.yaml:2: id: "Sound One" is not a name.',
            "  fix: use small letters, digits and single hyphens only.",
        ],
    ),
    (
        "id: sound\n",
        "",
        [
            "s.yaml:1: id: this key is missing.",
            "  fix: add it, such as `id: cpu-1-all-on-one`.",
        ],
    ),
    (
        "title: A sound scenario",
        "title: ''",
        [
            "s.yaml:3: title: this is empty.",
            "  fix: give it a value, or leave the key out if it has a default.",
        ],
    ),
    (
        "title: A sound scenario",
        "titel: A sound scenario",
        [
            "s.yaml:3: titel: this key is not known.",
            "  fix: did you mean title?",
        ],
    ),
    (
        "title: A sound scenario",
        "title: A sound scenario\ncolour: blue",
        [
            "s.yaml:4: colour: this key is not known.",
            "  fix: use one of: schema_version, id, title, why, scaled_from, program, seed, host, guests, events, run, criteria.",
        ],
    ),
    (
        "title: A sound scenario",
        "title: A sound scenario\ntitle: Again",
        [
            "s.yaml:4: title: key title is given twice, first in line 3.",
            "  fix: remove one of the two.",
        ],
    ),
    (
        "why: It catches nothing.",
        "why: 7",
        [
            "s.yaml:4: why: 7 is not text.",
            "  fix: write it as `why: A program that moves one vCPU and stops leaves pCPU 0 full.`.",
        ],
    ),
    (
        "program: vcpu_scheduler",
        "program: vcpu_sheduler",
        [
            's.yaml:5: program: "vcpu_sheduler" is not known.',
            "  fix: did you mean vcpu_scheduler?",
        ],
    ),
    (
        "pcpus: 4,",
        "pcpus: 0,",
        [
            "s.yaml:6: host.pcpus: 0 is out of range.",
            "  fix: use a value of at least 1.",
        ],
    ),
    (
        "pcpus: 4,",
        "pcpus: 4.5,",
        [
            "s.yaml:6: host.pcpus: 4.5 is not a whole number.",
            "  fix: write it as `pcpus: 4`.",
        ],
    ),
    (
        "pcpus: 4,",
        "pcpus: four,",
        [
            's.yaml:6: host.pcpus: "four" is not a whole number.',
            "  fix: write it as `pcpus: 4`.",
        ],
    ),
    (
        "pcpus: 4,",
        "pcpu: 4,",
        [
            "s.yaml:6: host.pcpu: this key is not known.",
            "  fix: did you mean pcpus?",
        ],
    ),
    (
        "pcpus: 4, memory_mib: 8192",
        "pcpus: 4, memory_mib: 3000",
        [
            "s.yaml:6: host.memory_mib: the guests start with 2048 MiB and the host uses 1024, which is more than the 3000 MiB it has.",
            "  fix: raise host.memory_mib to 3072 or more, or shrink the guests.",
        ],
    ),
    (
        "pcpus: 4, memory_mib: 8192",
        "pcpus: 4, memory_mib: 8192, used_mib: 9000",
        [
            "s.yaml:6: host.used_mib: the host uses 9000 of its 8192 MiB itself.",
            "  fix: leave memory for guests.",
        ],
    ),
    (
        "host: {pcpus: 4, memory_mib: 8192}",
        "host: big",
        [
            's.yaml:6: host: "big" is not a mapping of keys.',
            "  fix: write it as `host: {pcpus: 4, memory_mib: 16384}`.",
        ],
    ),
    (
        "  - name: web",
        "  - name: web server",
        [
            's.yaml:8: guests[0].name: "web server" is not a name.',
            "  fix: begin with a letter or digit; letters, digits, _ . and - may follow.",
            "s.yaml:21: events[1].guests[0]: guest web is not declared.",
            "  fix: use one of: db, mail, spare, web server.",
            "s.yaml:22: events[2].guest: guest web is not declared.",
            "  fix: use one of: db, mail, spare, web server.",
        ],
    ),
    (
        "  - name: web",
        "  - name: web\n    names: [web2]",
        [
            "s.yaml:8: guests[0]: a guest has either `name` or `names`.",
            "  fix: write one of the two keys.",
        ],
    ),
    (
        "names: [db, mail]",
        "names: [db, db]",
        [
            "s.yaml:14: guests[1].names[1]: guest db is declared twice, first in line 14.",
            "  fix: give each guest a name of its own.",
        ],
    ),
    (
        "names: [db, mail]",
        "names: [db, web]",
        [
            "s.yaml:14: guests[1].names[1]: guest web is declared twice, first in line 8.",
            "  fix: give each guest a name of its own.",
            "s.yaml:22: events[2].pin.vcpu: vCPU 1 does not exist (guest web has only 0).",
            "  fix: use one of its vCPUs, or raise vcpus of guest web to 2.",
        ],
    ),
    (
        "names: [db, mail]",
        "names: []",
        [
            "s.yaml:14: guests[1].names: this is empty.",
            "  fix: give it a value, or leave the key out if it has a default.",
        ],
    ),
    (
        "vcpus: 2",
        "vcpus: 3",
        [
            "s.yaml:12: guests[0].start_on: 2 places are given for 3 vCPUs.",
            "  fix: list 3 (null for a vCPU that may run anywhere), or mend vcpus.",
        ],
    ),
    (
        "vcpus: 2",
        "vcpus: true",
        [
            "s.yaml:9: guests[0].vcpus: true is not a whole number.",
            "  fix: write it as `vcpus: 1`.",
        ],
    ),
    (
        "memory_mib: 1024\n",
        "memory_mib: 4096\n",
        [
            "s.yaml:10: guests[0].memory_mib: the guest starts with 4096 MiB, above its maximum of 2048.",
            "  fix: use at most 2048, or raise max_memory_mib to 4096.",
        ],
    ),
    (
        "memory_mib: 1024\n",
        "memory_mib: 100\n",
        [
            "s.yaml:10: guests[0].memory_mib: 100 MiB do not hold the guest's kernel and processes, which need 152.",
            "  fix: use more than 152, or lower kernel_mib and processes_mib.",
        ],
    ),
    (
        "memory_mib: 1024\n",
        "memory_mib: 200\n",
        [
            "s.yaml:8: guests[0].cache_mib: a page cache of 170 MiB does not fit: 48 MiB are left for it.",
            "  fix: set cache_mib to at most 48.",
        ],
    ),
    (
        "[0, [1, 2]]",
        "[0, 4]",
        [
            "s.yaml:12: guests[0].start_on[1]: pCPU 4 does not exist (the host has 0-3).",
            "  fix: use a pCPU from 0 to 3, or raise host.pcpus to 5.",
        ],
    ),
    (
        "[0, [1, 2]]",
        "[0, [1, 4]]",
        [
            "s.yaml:12: guests[0].start_on[1][1]: pCPU 4 does not exist (the host has 0-3).",
            "  fix: use a pCPU from 0 to 3, or raise host.pcpus to 5.",
        ],
    ),
    (
        "[0, [1, 2]]",
        "[0, [1, 1]]",
        [
            "s.yaml:12: guests[0].start_on[1][1]: pCPU 1 is listed twice.",
            "  fix: list it once.",
        ],
    ),
    (
        "[0, [1, 2]]",
        "[0, all]",
        [
            's.yaml:12: guests[0].start_on[1]: "all" is no place for a vCPU.',
            "  fix: write a pCPU number, a list of them, or null for all.",
        ],
    ),
    (
        "[0, [1, 2]]",
        "[0, [x]]",
        [
            's.yaml:12: guests[0].start_on[1][0]: "x" is not a whole number.',
            "  fix: write a whole number.",
        ],
    ),
    (
        "[0, [1, 2]]",
        "[0, 1]\n    start_in_turn: [0]",
        [
            "s.yaml:13: guests[0].start_in_turn: a guest has either `start_on` or `start_in_turn`.",
            "  fix: write one of the two keys.",
        ],
    ),
    (
        "[0, [1, 2]]",
        "[0, [1, 2]]\n    emulator_on: [0, 4]",
        [
            "s.yaml:13: guests[0].emulator_on[1]: pCPU 4 does not exist (the host has 0-3).",
            "  fix: use a pCPU from 0 to 3, or raise host.pcpus to 5.",
        ],
    ),
    (
        "duty: 0.25",
        "duty: 1.5",
        [
            "s.yaml:13: guests[0].load.duty: 1.5 is out of range.",
            "  fix: use a value of at most 1.",
        ],
    ),
    (
        "duty: 0.25",
        "duty: .nan",
        [
            "s.yaml:13: guests[0].load.duty: NaN is not a finite number.",
            "  fix: write it as `duty: 0.21`.",
        ],
    ),
    (
        "duty: 0.25",
        "dutty: 0.25",
        [
            "s.yaml:13: guests[0].load.dutty: this key is not known.",
            "  fix: did you mean duty?",
        ],
    ),
    (
        "{duty: 0.25, period_ms: 0.5}",
        "{speed: 3}",
        [
            "s.yaml:13: guests[0].load: this kind of load is not known (it has speed).",
            "  fix: use the form {duty}, {work_s}, {rate_mib_s} or {trace}.",
        ],
    ),
    (
        "{duty: 0.25, period_ms: 0.5}",
        "full",
        [
            's.yaml:13: guests[0].load: "full" is not a load.',
            "  fix: write a mapping of the form {duty}, {work_s}, {rate_mib_s} or {trace}.",
        ],
    ),
    (
        "{duty: 0.25, period_ms: 0.5}",
        "{work_s: 0}",
        [
            "s.yaml:13: guests[0].load.work_s: 0 is out of range.",
            "  fix: use a value above 0.",
        ],
    ),
    (
        "{duty: 0.25, period_ms: 0.5}",
        "{trace: none.csv}",
        [
            "s.yaml:13: guests[0].load.trace: trace none.csv cannot be read: No such file or directory.",
            "  fix: put the CSV file beside this one; its path is relative to this file.",
        ],
    ),
    (
        "running: false",
        "running: no",
        [
            's.yaml:18: guests[2].running: "no" is not true or false.',
            "  fix: write it as `running: true`.",
        ],
    ),
    (
        "running: false",
        "running: false\n    load: {duty: 0.5}",
        [
            "s.yaml:19: guests[2].load: a load cannot run in a guest that is shut off.",
            "  fix: start it by an event after the guest's start, or remove `running: false`.",
        ],
    ),
    (
        "at_s: 5,",
        "at_s: 60,",
        [
            "s.yaml:20: events[0].at_s: 60 s is not before the end of the run at 60 s.",
            "  fix: use an earlier moment, or raise run.duration_s.",
        ],
    ),
    (
        "at_s: 5,",
        "at_s: -1,",
        [
            "s.yaml:20: events[0].at_s: -1 is out of range.",
            "  fix: use a value of at least 0.",
        ],
    ),
    (
        "at_s: 5, guest: db",
        "at_s: 5, guest: dbb",
        [
            "s.yaml:20: events[0].guest: guest dbb is not declared.",
            "  fix: did you mean db?",
        ],
    ),
    (
        "at_s: 5, guest: db",
        "at_s: 5, guest: spare",
        [
            "s.yaml:20: events[0].start_load: guest spare is shut off at 5 s and runs no load.",
            "  fix: start it before, or remove this event.",
        ],
    ),
    (
        "at_s: 5, guest: db,",
        "at_s: 5,",
        [
            "s.yaml:20: events[0]: an event has either `guest` or `guests`.",
            "  fix: write one of the two keys.",
        ],
    ),
    (
        "until_mib: 200",
        "until_mib: 600",
        [
            "s.yaml:20: events[0].start_load.until_mib: 600 MiB are never reached: of at most 512 MiB the guest has 336 for a load.",
            "  fix: write `until: limit`, or an until_mib of at most 336.",
        ],
    ),
    (
        "until_mib: 200",
        "until: ever",
        [
            's.yaml:20: events[0].start_load.until: "ever" is not known.',
            "  fix: use one of: limit.",
        ],
    ),
    (
        "until_mib: 200",
        "until: limit, hold_s: 4",
        [
            "s.yaml:20: events[0].start_load.hold_s: a load that grows to the guest's limit is killed there and holds nothing.",
            "  fix: remove hold_s, or give until_mib instead of until.",
        ],
    ),
    (
        "until_mib: 200",
        "hold_s: 4",
        [
            "s.yaml:20: events[0].start_load: a memory load has either `until: limit` or `until_mib`.",
            "  fix: write one of the two keys.",
        ],
    ),
    (
        "[web, db], set_memory_mib: 400",
        "[web, web], set_memory_mib: 400",
        [
            "s.yaml:21: events[1].guests[1]: guest web is listed twice.",
            "  fix: list it once.",
        ],
    ),
    (
        "[web, db], set_memory_mib: 400",
        "[web, db], set_memory_mib: 600",
        [
            "s.yaml:21: events[1].set_memory_mib: 600 MiB is above the maximum of guest db, 512.",
            "  fix: use at most 512, or raise its max_memory_mib.",
        ],
    ),
    (
        "[web, db], set_memory_mib: 400",
        "[spare], set_memory_mib: 400",
        [
            "s.yaml:21: events[1].set_memory_mib: guest spare is shut off and has no balloon.",
            "  fix: start it before, or remove this event.",
        ],
    ),
    (
        "[web, db], set_memory_mib: 400",
        "[web, db], set_memory_mib: 400, stop_load: all",
        [
            "s.yaml:21: events[1]: an event does one thing, and this one does 2.",
            "  fix: write one of: pin, set_memory_mib, set_cputune, start_load, stop_load, power, fault.",
        ],
    ),
    (
        "[web, db], set_memory_mib: 400",
        "[web, db]",
        [
            "s.yaml:21: events[1]: an event does one thing, and this one does 0.",
            "  fix: write one of: pin, set_memory_mib, set_cputune, start_load, stop_load, power, fault.",
        ],
    ),
    (
        "[web, db], set_memory_mib: 400",
        "[mail], stop_load: cpu",
        [
            "s.yaml:21: events[1].stop_load: no cpu load runs in guest mail at 9 s.",
            "  fix: start one before, or remove this event.",
        ],
    ),
    (
        "[web, db], set_memory_mib: 400",
        "[mail], power: start",
        [
            "s.yaml:21: events[1].power: guest mail is running at 9 s.",
            "  fix: remove this event, or mend what comes before it.",
        ],
    ),
    (
        "[web, db], set_memory_mib: 400",
        "[spare], power: stop",
        [
            "s.yaml:21: events[1].power: guest spare is shut off at 9 s.",
            "  fix: remove this event, or mend what comes before it.",
        ],
    ),
    (
        "[web, db], set_memory_mib: 400}",
        "[mail], power: stop}\n  - {at_s: 10, guest: mail, power: start}",
        [
            "s.yaml:22: events[2].power: guest mail is still shutting down at 10 s.",
            "  fix: start it at 11 s or later, or let `lose` end it at once.",
        ],
    ),
    (
        "[web, db], set_memory_mib: 400",
        "[web, db], set_memory_mib: 400, vcpus: [0]",
        [
            "s.yaml:21: events[1].vcpus: vCPUs are named without a load.",
            "  fix: remove vcpus; a pin names its own vcpu.",
        ],
    ),
    (
        "vcpu: 1, pcpus: [3]",
        "vcpu: 2, pcpus: [3]",
        [
            "s.yaml:22: events[2].pin.vcpu: vCPU 2 does not exist (guest web has 0-1).",
            "  fix: use one of its vCPUs, or raise vcpus of guest web to 3.",
        ],
    ),
    (
        "vcpu: 1, pcpus: [3]",
        "vcpu: 1, pcpus: [7]",
        [
            "s.yaml:22: events[2].pin.pcpus[0]: pCPU 7 does not exist (the host has 0-3).",
            "  fix: use a pCPU from 0 to 3, or raise host.pcpus to 8.",
        ],
    ),
    (
        "vcpu: 1, pcpus: [3]",
        "vcpu: 1, pcpus: []",
        [
            "s.yaml:22: events[2].pin.pcpus: this is empty.",
            "  fix: give it a value, or leave the key out if it has a default.",
        ],
    ),
    (
        "interval_s: 2",
        "interval_s: 90",
        [
            "s.yaml:23: run.interval_s: an interval of 90 s is longer than the run of 60 s.",
            "  fix: use at most 60, or raise duration_s.",
        ],
    ),
    (
        "interval_s: 2",
        "interval_s: 0.5",
        [
            "s.yaml:23: run.interval_s: 0.5 is not a whole number.",
            "  fix: write it as `interval_s: 1`.",
        ],
    ),
    (
        "run: {duration_s: 60, interval_s: 2}\n",
        "",
        [
            "s.yaml:1: run: this key is missing.",
            "  fix: add it, such as `run: {duration_s: 30, interval_s: 1}`.",
        ],
    ),
    (
        "name: host-alive",
        "name: host-alife",
        [
            "s.yaml:25: criteria[0].name: criterion host-alife is not known.",
            "  fix: did you mean host-alive?",
        ],
    ),
    (
        "name: host-alive",
        "name: stable",
        [
            "s.yaml:26: criteria[1].name: criterion stable is asked twice, first in line 25.",
            "  fix: remove one of the two.",
        ],
    ),
    (
        "name: host-alive",
        "name: balanced",
        [
            "s.yaml:25: criteria[0]: the phase from 0 to 5 s is too short to judge: settling and one window take 22 s.",
            "  fix: lengthen it, or lower settle_intervals.",
        ],
    ),
    (
        "settle_intervals: 5",
        "settle_interval: 5",
        [
            "s.yaml:26: criteria[1].limits.settle_interval: criterion stable has no limit settle_interval.",
            "  fix: did you mean settle_intervals?",
        ],
    ),
    (
        "settle_intervals: 5",
        "sd_points_max: 200",
        [
            "s.yaml:26: criteria[1].limits.sd_points_max: 200 points is out of range.",
            "  fix: use a value from 0 to 100 points.",
        ],
    ),
    (
        "settle_intervals: 5",
        "settle_intervals: -1",
        [
            "s.yaml:26: criteria[1].limits.settle_intervals: -1 is out of range.",
            "  fix: use a value of at least 0.",
        ],
    ),
    (
        "  - {name: host-alive}\n  - {name: stable, limits: {settle_intervals: 5}}\n",
        "  []\n",
        [
            "s.yaml:24: criteria: this is empty.",
            "  fix: give it a value, or leave the key out if it has a default.",
        ],
    ),
    (
        "name: stable, limits: {settle_intervals: 5}",
        "name: balanced, limits: {settle_intervals: 2, bound_needed: 0.5}",
        [
            "s.yaml:26: criteria[1].limits.bound_needed: 0.5 is no switch.",
            "  fix: write 0 or 1.",
        ],
    ),
    (
        "title: A sound scenario",
        "title: [unclosed",
        [
            "s.yaml:4: this is not YAML: did not find expected ',' or ']', while parsing a flow sequence.",
            "  fix: mend the YAML; look at indentation, quotes, brackets and tabs on this line and above.",
        ],
    ),
    (
        "title: A sound scenario",
        "title: !!python/name:os.system x",
        [
            "s.yaml:3: tag tag:yaml.org,2002:python/name:os.system is not used here.",
            "  fix: remove the tag.",
        ],
    ),
    (
        "title: A sound scenario",
        "title: *nothing",
        [
            "s.yaml:3: alias *nothing has no anchor that ends above it.",
            "  fix: write &nothing before the value it stands for.",
        ],
    ),
    (
        "title: A sound scenario",
        "title: &a [*a]",
        [
            "s.yaml:3: alias *a has no anchor that ends above it.",
            "  fix: write &a before the value it stands for.",
        ],
    ),
    (
        "title: A sound scenario",
        "3: x\ntitle: t",
        [
            "s.yaml:3: key 3 is not a word.",
            "  fix: write a key of letters.",
        ],
    ),
    (
        "title: A sound scenario",
        "title: t\n---\nid: b",
        [
            "s.yaml:4: a second document begins here, and a file holds one.",
            "  fix: put it into a file of its own.",
        ],
    ),
    (
        "title: A sound scenario",
        "title: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        [
            "s.yaml:3: values are nested more than 24 deep.",
            "  fix: remove brackets or indentation.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, swap_mib_s: 100}",
        [
            "s.yaml:6: host.swap_mib_s: the host has no swap whose speed could matter.",
            "  fix: remove swap_mib_s, or give swap_mib.",
        ],
    ),
    (
        "    running: false",
        "    swap_mib_s: 100\n    running: false",
        [
            "s.yaml:18: guests[2].swap_mib_s: the guest has no swap whose speed could matter.",
            "  fix: remove swap_mib_s, or give swap_mib.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, balloon: tcg}",
        [
            's.yaml:6: host.balloon: "tcg" is not known.',
            "  fix: use one of: kvm, emulation.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, guest: web, fault: clock-step, step_s: 5}",
        [
            "s.yaml:22: events[2].guest: clock-step happens to the host, not to guests.",
            "  fix: remove guest.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, fault: clock-step}",
        [
            "s.yaml:22: events[2]: the clock has to jump by something.",
            "  fix: give step_s, in seconds; below 0 is back.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, fault: clock-step, step_s: 5, for_s: 2}",
        [
            "s.yaml:22: events[2].for_s: a jump takes no time.",
            "  fix: remove for_s.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, fault: libvirtd-restart}",
        [
            "s.yaml:22: events[2]: libvirtd has to be away for some time.",
            "  fix: give for_s, in seconds.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, fault: blocked}",
        [
            "s.yaml:22: events[2]: an event has either `guest` or `guests`.",
            "  fix: write one of the two keys.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, guest: web, fault: blocked, for_s: 0}",
        [
            "s.yaml:22: events[2].for_s: a fault that lasts for 0 s is none.",
            "  fix: use more, or remove for_s for ever.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, guest: web, set_memory_mib: 400, for_s: 2}",
        [
            "s.yaml:22: events[2].for_s: only a fault lasts for a time.",
            "  fix: remove for_s.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, guest: web, fault: blocked, fields: [rss]}",
        [
            "s.yaml:22: events[2].fields: fields are named, and no statistics are missing.",
            "  fix: remove fields.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, guest: web, fault: blocked, step_s: 2}",
        [
            "s.yaml:22: events[2].step_s: only a clock-step has a length.",
            "  fix: remove step_s.",
        ],
    ),
    (
        "    running: false",
        "    defined: false",
        [
            "s.yaml:18: guests[2].defined: a guest that is not defined cannot run.",
            "  fix: write `running: false` as well.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, guest: web, power: define}",
        [
            "s.yaml:22: events[2].power: guest web is defined already at 10 s.",
            "  fix: remove this event, or mend what comes before it.",
            "s.yaml:22: events[2].power: guest web still runs at 10 s and keeps its name.",
            "  fix: stop or lose it before.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, guest: spare, power: undefine}\n  - {at_s: 11, guest: spare, power: start}",
        [
            "s.yaml:23: events[3].power: guest spare is not defined at 11 s.",
            "  fix: define it before.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {cells: 3}}",
        [
            "s.yaml:6: host.topology.cells: 4 pCPUs cannot be shared out evenly among 3 cells.",
            "  fix: give each cell its pcpus, or change host.pcpus.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {cells: 0}}",
        [
            "s.yaml:6: host.topology.cells: 0 is out of range.",
            "  fix: use a number from 1 to 64, or a list of cells.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {cells: [{pcpus: [0, 1]}, {}]}}",
        [
            "s.yaml:6: host.topology.cells[1]: cell 1 has no pcpus, while cell 0 has.",
            "  fix: give pcpus in all cells, or in none.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {cells: [{pcpus: [0, 1]}, {pcpus: [1, 2, 3]}]}}",
        [
            "s.yaml:6: host.topology.cells[1].pcpus[0]: pCPU 1 is listed twice.",
            "  fix: list it once.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {cells: [{pcpus: [0, 1]}, {pcpus: [2]}]}}",
        [
            "s.yaml:6: host.topology.cells: pCPU 3 is in no cell.",
            "  fix: list each pCPU of the host in one cell.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {cells: [{pcpus: [0, 1, 2]}, {pcpus: [3, 4]}]}}",
        [
            "s.yaml:6: host.topology.cells[1].pcpus[1]: pCPU 4 does not exist (the host has 0-3).",
            "  fix: use a pCPU from 0 to 3, or raise host.pcpus to 5.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {cells: [{memory_mib: 4096}, {memory_mib: 2048}]}}",
        [
            "s.yaml:6: host.topology.cells: the cells have 6144 MiB together, and the host 8192.",
            "  fix: set host.memory_mib to 6144, or mend theirs.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {cells: [{distances: [10]}, {}]}}",
        [
            "s.yaml:6: host.topology.cells[0].distances: 1 distances are given for 2 cells.",
            "  fix: list 2, its own (10) included.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {cells: [{distances: [21, 10]}, {}]}}",
        [
            "s.yaml:6: host.topology.cells[0].distances[0]: a distance of 21 from cell 0 to cell 0 cannot be.",
            "  fix: use 10 to the cell itself, and more to all others.",
            "s.yaml:6: host.topology.cells[0].distances[1]: a distance of 10 from cell 0 to cell 1 cannot be.",
            "  fix: use 10 to the cell itself, and more to all others.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {remote_latency: 2}}",
        [
            "s.yaml:6: host.topology.remote_latency: a host with one cell has no remote memory.",
            "  fix: remove remote_latency, or give more cells.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {threads: 2, siblings: [[0, 1]]}}",
        [
            "s.yaml:6: host.topology.siblings: a topology has either `threads` or `siblings`.",
            "  fix: write one of the two keys.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {threads: 2, cells: 4}}",
        [
            "s.yaml:6: host.topology.threads: cell 0 has 1 pCPUs, which do not make pairs.",
            "  fix: give it an even number, or list siblings instead of threads.",
            "s.yaml:6: host.topology.threads: cell 1 has 1 pCPUs, which do not make pairs.",
            "  fix: give it an even number, or list siblings instead of threads.",
            "s.yaml:6: host.topology.threads: cell 2 has 1 pCPUs, which do not make pairs.",
            "  fix: give it an even number, or list siblings instead of threads.",
            "s.yaml:6: host.topology.threads: cell 3 has 1 pCPUs, which do not make pairs.",
            "  fix: give it an even number, or list siblings instead of threads.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {smt_yield: 1.3}}",
        [
            "s.yaml:6: host.topology.smt_yield: a host without SMT siblings has no use for it.",
            "  fix: remove it, or write `threads: 2`.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {siblings: [[0, 1], [1, 2]]}}",
        [
            "s.yaml:6: host.topology.siblings[1][0]: pCPU 1 is listed twice.",
            "  fix: list it once.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {cells: 2, siblings: [[0, 2]]}}",
        [
            "s.yaml:6: host.topology.siblings[0]: pCPUs 0 and 2 lie in different cells.",
            "  fix: pair pCPUs of one cell.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {threads: 2, sockets: 3}}",
        [
            "s.yaml:6: host.topology.sockets: the 2 cores of cell 0 do not fill 3 sockets.",
            "  fix: use a number of sockets that divides them.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {capacity: [1024, 512]}}",
        [
            "s.yaml:6: host.topology.capacity: 2 capacities are given for 4 pCPUs.",
            "  fix: list one for each pCPU.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {capacity: [1024, 1024, 1024, 2048]}}",
        [
            "s.yaml:6: host.topology.capacity[3]: 2048 is out of range.",
            "  fix: use a value of at most 1024.",
        ],
    ),
    (
        "    running: false",
        "    running: false\n    memory_cell: 1",
        [
            "s.yaml:19: guests[2].memory_cell: cell 1 does not exist (the host has only 0).",
            "  fix: use one of these, or give host.topology more cells.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {cells: 65}}",
        [
            "s.yaml:6: host.topology.cells: 65 is out of range.",
            "  fix: use a number from 1 to 64, or a list of cells.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {cells: two}}",
        [
            's.yaml:6: host.topology.cells: "two" is not a list.',
            "  fix: write it as `cells: 2`.",
        ],
    ),
    (
        "memory_mib: 8192}",
        "memory_mib: 8192, topology: {siblings: [[0]]}}",
        [
            "s.yaml:6: host.topology.siblings[0]: this has 1 entry.",
            "  fix: give it 2 or more.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, guest: spare, set_cputune: {shares: 512}}",
        [
            "s.yaml:22: events[2].set_cputune: guest spare is shut off at 10 s and is not weighed.",
            "  fix: start it before, or give the guest cputune for its start.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, guest: spare, fault: blocked}",
        [
            "s.yaml:22: events[2].fault: guest spare is shut off at 10 s: no process holds its lock.",
            "  fix: start it before, or remove this event.",
        ],
    ),
    (
        "    running: false\nevents:",
        "    running: false\n    defined: false\nevents:\n  - {at_s: 4, guest: spare, pin: {vcpu: 0, pcpus: [1]}}",
        [
            "s.yaml:21: events[0].pin: guest spare is not defined at 4 s.",
            "  fix: define it before, or remove this event.",
        ],
    ),
    (
        "    running: false\nevents:",
        "    running: false\n    defined: false\nevents:\n  - {at_s: 4, guest: spare, fault: balloon-stuck}",
        [
            "s.yaml:21: events[0].fault: guest spare is not defined at 4 s.",
            "  fix: define it before, or remove this event.",
        ],
    ),
    (
        "  - {at_s: 10, guest: web, pin: {vcpu: 1, pcpus: [3]}}",
        "  - {at_s: 10, guest: db, power: stop}\n  - {at_s: 10.5, guest: db, power: undefine}\n  - {at_s: 11, guest: db, power: define}",
        [
            "s.yaml:24: events[4].power: guest db is still shutting down at 11 s and keeps its name.",
            "  fix: define it at 12 s or later, or let `lose` end it at once.",
        ],
    ),
]
