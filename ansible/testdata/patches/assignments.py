"""Lists the patches in the sources of plugins, as FILE ATTRIBUTE: see TestPatchesInSources.

A patch is an assignment to an attribute of something that is not the object itself.
"""

import ast
import os
import sys


def patches(tree):
    """Yields the name of each attribute that is assigned."""
    constants = {target.id: node.value for node in ast.walk(tree) if isinstance(node, ast.Assign)
                 for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del)):
            if not isinstance(node.value, ast.Name) or node.value.id not in ('self', 'cls'):
                yield node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ('setattr', 'delattr'):
            yield from names(node, node.args[1], constants)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == 'sys.addaudithook':
            yield 'addaudithook'


def names(node, name, constants):
    """Gives the values of a name that a loop goes through."""
    if isinstance(name, ast.Constant):
        return [name.value]
    while not (isinstance(node, ast.For) and ast.unparse(node.target) == ast.unparse(name)):
        node = node.parent
    values = constants.get(getattr(node.iter, 'id', None), node.iter)
    return [value.value for value in values.elts]


def main(root):
    for folder, _, files in os.walk(root):
        for file in sorted(files):
            if file.endswith('.py'):
                path = os.path.join(folder, file)
                with open(path, encoding='utf-8') as source:
                    tree = ast.parse(source.read())
                for attribute in patches(tree):
                    print(os.path.relpath(path, root), attribute)


main(sys.argv[1])
