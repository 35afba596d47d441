from ansible.module_utils.basic import AnsibleModule


def main():
    module = AnsibleModule(argument_spec={'path': {'type': 'path'}, 'text': {'type': 'str'}})
    with open(module.params['path'], 'w', encoding='utf-8') as file:
        file.write(module.params['text'] + '\n')
    module.exit_json(changed=True)


main()
