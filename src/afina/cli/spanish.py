"""The help of the commands in Spanish, by command and option.

The key of a command is its path below `afina`; its own text is under "help", each option's under
the option's name. `tests/cli/test_language.py` fails if a command or an option has no text.
"""

from __future__ import annotations

FRAME = {
    "Usage: ": "Uso: ",
    "Options": "Opciones",
    "Commands": "Órdenes",
    "Show this message and exit.": "Muestra esta ayuda y termina.",
    "[default: ": "[por defecto: ",
    "[required]": "[obligatorio]",
}
"""What click says around the help."""

_FOLDER = """
        FOLDER es la carpeta `directory/project_name` de un tuner, o la URL de una base de datos
        con "?project=nombre". La búsqueda puede estar todavía en marcha.
        """
_JSON = "Muestra el resultado en JSON."
_NEW = "Carpeta del proyecto nuevo. No debe contener ninguna búsqueda."

HELP: dict[str, dict[str, str]] = {
    "": {
        "help": "Busca buenos hiperparámetros para modelos de Keras y muestra lo aprendido.",
        "--version": "Muestra las versiones de Afina, Python, Keras y los motores instalados.",
    },
    "demo": {
        "help": """Ejecuta el caso práctico NAME: busca, entrena el modelo final y lo evalúa.

        Los datos se leen de la carpeta que indique la variable de entorno AFINA_DATA o de la caché
        de Keras. Si no están, Keras los descarga. Sin red se usan otros datos en su lugar. Si la
        búsqueda se interrumpió, ejecuta la orden de nuevo: continúa donde estaba.
        """,
        "--output": "Carpeta para la búsqueda y sus resultados.  [por defecto: demo-output/NAME]",
        "--max-epochs": "Entrena cada ensayo (trial) como máximo este número de épocas.",
        "--seed": "Semilla (seed) de la búsqueda y de los entrenamientos.",
        "--overwrite": "Empieza una búsqueda nueva en vez de continuar la anterior.",
        "--quiet": "Muestra solo el resultado.",
        "--limit": "Usa solo este número de muestras, para acabar antes.",
    },
    "tune": {
        "help": """Busca buenos hiperparámetros para el modelo que construye TARGET.

        TARGET es ARCHIVO.py:NOMBRE o MÓDULO:NOMBRE de una función build(hp) o de un HyperModel. Un
        archivo de datos contiene los arrays x e y, o x_train e y_train, escritos con numpy.savez.
        Para validar se usan x_val e y_val y, si faltan, una quinta parte de las filas. Si los datos
        vienen de una función, esta devuelve (x, y) o ((x, y), (x_val, y_val)).

        La orden ejecuta TARGET: indica solo código en el que confíes. Termina con el código 3 si no
        se completó ningún ensayo (trial). Ejecútala de nuevo para continuar.

        \b
        Ejemplos:
          afina tune train.py:build --data data.npz --objective val_accuracy --time 30m
          afina tune train.py:build --data train.py:load --tuner random --trials 20 --cv 5 --json
        """,
        "--data": "Los datos: ARCHIVO.npz, o una función como ARCHIVO.py:NOMBRE.",
        "--objective": "Una métrica, como val_accuracy; si son varias, separadas por comas.",
        "--time": "Tiempo total, como 90s, 30m o 1h30m.",
        "--trials": "Número total de ensayos (trials).",
        "--tuner": "El algoritmo de búsqueda.",
        "--project": "Carpeta del proyecto; si ya existe, se continúa.",
        "--store": "URL de una base de datos que guarda los ensayos.",
        "--epochs": "Máximo de épocas de un entrenamiento.",
        "--batch-size": "Número de filas de cada lote (batch).",
        "--validation-split": "Parte de las filas que se usa para validar, entre 0 y 1.",
        "--cv": "Usa validación cruzada con este número de partes (folds).",
        "--seed": "Semilla (seed) que fija todo lo aleatorio.",
        "--workers": "Número de ensayos que se entrenan a la vez.",
        "--executor": "Cómo se ejecutan los ensayos.",
        "--narrow": '"auto", o tras cuántos ensayos se estrecha el espacio de búsqueda.',
        "--start-from": "ARCHIVO.json con una lista de configuraciones que se prueban primero.",
        "--overwrite": "Borra antes el proyecto, si existe.",
        "--json": "Muestra el resultado en JSON, y nada más.",
    },
    "status": {
        "help": f"""Dice cómo va la búsqueda de FOLDER: ensayos, mejor puntuación, qué se entrena.
        {_FOLDER}""",
        "--json": _JSON,
    },
    "best": {
        "help": f"""Muestra las mejores configuraciones de la búsqueda de FOLDER.

        Los ensayos (trials) que siguen entrenando el mismo modelo cuentan como una sola
        configuración. Con varios objetivos se muestra el frente de Pareto, ordenado por el primero.
        La orden termina con el código 3 si no se completó ningún ensayo.
        {_FOLDER}""",
        "--count": "Muestra como máximo este número de configuraciones.",
        "--json": _JSON,
    },
    "trials": {
        "help": f"""Enumera los ensayos (trials) de la búsqueda de FOLDER por orden de comienzo.
        {_FOLDER}""",
        "--json": _JSON,
    },
    "advice": {
        "help": f"""Dice qué hiperparámetros importan en la búsqueda de FOLDER y qué buscar después.
        {_FOLDER}""",
        "--json": _JSON,
        "--code": "Muestra el siguiente espacio de búsqueda como código de Python.",
    },
    "report": {
        "help": f"""Escribe un informe de la búsqueda de FOLDER: un archivo HTML que se ve sin red.
        {_FOLDER}""",
        "--output": "El archivo que se escribe.",
    },
    "dashboard": {
        "help": """Muestra la búsqueda de FOLDER en una página que se actualiza sola.

        FOLDER es la carpeta `directory/project_name` de un tuner, una carpeta con varios, o la URL
        de una base de datos con "?project=nombre". Las búsquedas pueden estar en marcha. La página
        solo se abre desde esta máquina, salvo que indiques otro --host. Entonces pide la clave que
        contiene la dirección mostrada.
        """,
        "--host": "Dirección de red en la que escucha.",
        "--port": "Puerto. Si no lo indicas: 8642 o el siguiente libre.",
        "--allow-actions": "Permite que quien abra la dirección mostrada pare la búsqueda, termine "
        "un ensayo, pruebe una configuración o escriba una nota.",
        "--token": "Clave de la dirección. Si hace falta y no la indicas, se elige al azar.",
        "--open": "Abre la página en un navegador.",
    },
    "export": {
        "help": f"""Escribe los ensayos de la búsqueda de FOLDER para otros programas.
        {_FOLDER}
        \b
        Ejemplos:
          afina export my_dir/my_project --format csv --output trials.csv
          afina export my_dir/my_project --format keras-tuner
        """,
        "--format": "json: una lista de los ensayos. csv: una tabla con una fila por ensayo. "
        "parquet: la misma tabla; hacen falta pandas y pyarrow. keras-tuner: los archivos "
        "oracle.json, tuner0.json y trial_*/trial.json, que Keras Tuner 1.4 puede abrir.",
        "--output": "El archivo que se escribe. Si no lo indicas, la orden muestra los ensayos. "
        "Con keras-tuner: la carpeta en la que se escribe; si no la indicas, FOLDER.",
    },
    "import": {
        "help": """Convierte en un proyecto de Afina una búsqueda de otro paquete.

        Puedes examinar el proyecto y pedirle consejos e informes. Una búsqueda nueva aprende de él
        con `learn_from="carpeta"`. Los archivos del otro paquete no cambian.
        """,
    },
    "import keras-tuner": {
        "help": """Importa la búsqueda que Keras Tuner guardó en DIR.

        DIR es `directory/project_name` de un tuner y contiene oracle.json.
        """,
        "--output": _NEW,
        "--objective": "El objetivo, si no se deduce del proyecto: una métrica, como val_accuracy; "
        "si son varias, separadas por comas. Añade :min o :max si el nombre no lo dice.",
        "--direction": "Si --objective se minimiza (min) o se maximiza (max).",
    },
    "import optuna": {
        "help": """Importa un estudio de Optuna, por ejemplo de sqlite:///study.db.

        Optuna debe estar instalado.
        """,
        "--output": _NEW,
        "--study": "Nombre del estudio, si hay varios.",
    },
    "doctor": {
        "help": """Dice qué está dañado en el proyecto de FOLDER.

        FOLDER es la carpeta `directory/project_name` de un tuner, o
        "postgresql://user@host/database?project=name". La orden no cambia nada allí. Termina con
        el código 1 si hay algo dañado.

        \b
        Ejemplos:
          afina doctor my_dir/my_project
          afina doctor my_dir/my_project --repair my_dir/repaired
        """,
        "--repair": "Escribe en esta carpeta un proyecto nuevo con todo lo que se pueda leer.",
    },
    "recover": {
        "help": """Permite que la búsqueda de FOLDER continúe sin los ensayos que le faltan.

        Úsala cuando un mensaje de error diga que faltan ensayos (trials). FOLDER es la carpeta
        `directory/project_name` del tuner. Si tienes una copia de los archivos perdidos, restáurala
        en vez de usar esta orden.
        """,
    },
    "delete": {
        "help": """Borra la búsqueda de FOLDER con todos sus ensayos.

        FOLDER es la carpeta `directory/project_name` de un tuner, que se borra con sus modelos.
        También puede ser la URL de una base de datos, como
        "postgresql://user@host/database?project=nombre". De ella se borra solo la búsqueda: los
        modelos están en la carpeta del tuner. Si otro proceso trabaja en la búsqueda, la orden no
        borra nada.

        \b
        Ejemplos:
          afina delete my_dir/my_project
          afina delete "postgresql://me@host/tuning?project=digits" --yes
        """,
        "--yes": "Borra sin preguntar.",
    },
    "work": {
        "help": """Ejecuta un programa en varios procesos que comparten la búsqueda de STORAGE.

        STORAGE es una carpeta o "postgresql://user@host/database". Si un tuner o un Study del
        programa no indica otro sitio, guarda allí sus ensayos (trials) y se une así a la búsqueda.
        El programa recibe ARGUMENTS. Ctrl-C termina todos los procesos; repite la orden para
        continuar. Otras máquinas se unen si ejecutan la misma orden con la misma base de datos.

        \b
        Ejemplos:
          afina work my_search --script train.py --workers 4
          afina work postgresql://me@host/tuning --script train.py --workers 8
        """,
        "--script": "El programa de Python que ejecuta la búsqueda.",
        "--workers": "Número de procesos que ejecutan el programa.",
    },
    "mcp": {
        "help": """Da a un asistente acceso a la búsqueda de FOLDER, por Model Context Protocol.

        El servidor usa la entrada y la salida estándar, lee el proyecto con cada pregunta y no
        cambia nada. Necesita el paquete mcp: pip install 'afina[mcp]'.

        \b
        Ejemplo de orden, para los ajustes de servidores de un asistente:
          afina mcp my_dir/my_project
        """,
    },
    "completion": {
        "help": """Muestra el código con el que el tabulador completa órdenes en SHELL.

        \b
        Ejemplos:
          afina completion bash >> ~/.bashrc
          afina completion zsh >> ~/.zshrc
          afina completion fish > ~/.config/fish/completions/afina.fish
        """,
    },
}
